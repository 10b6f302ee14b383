//! amqp-broker
