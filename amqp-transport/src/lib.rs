//! amqp-transport
