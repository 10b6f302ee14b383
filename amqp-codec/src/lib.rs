//! amqp-codec
