//! Filters of a source (§3.5.8): which messages a receiver wants.

use amqp_codec::types::{Described, Map, Symbol, Value};

/// A filter that messages have to pass. What is in force stands in the peer's attach: brokers leave out those that they do
/// not know.
///
/// ```
/// use amqp_transport::{Filter, ReceiverOptions};
///
/// let options = ReceiverOptions::new("/queues/orders").filter(Filter::selector("colour = 'green'"));
/// # let _ = options;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    name: Symbol,
    value: Value,
}

impl Filter {
    /// A JMS selector (`apache.org:selector-filter:string`).
    #[must_use]
    pub fn selector(expression: impl Into<String>) -> Self {
        let value = Value::String(expression.into().into());
        Self::coded("apache.org:selector-filter:string", 0x0000_468c_0000_0004, value)
    }

    /// Leaves out what was sent over the same connection (`apache.org:no-local-filter:list`).
    #[must_use]
    pub fn no_local() -> Self {
        Self::coded("apache.org:no-local-filter:list", 0x0000_468c_0000_0003, Value::List(Vec::new()))
    }

    /// An SQL expression (`amqp:sql-filter`), where the peer offers `AMQP_FILTEX_SQL_V1_0`.
    #[must_use]
    pub fn sql(expression: impl Into<String>) -> Self {
        Self::coded("sql-filter", 0x120, Value::String(expression.into().into()))
    }

    /// Properties that a message must have (`amqp:properties-filter`), by the names of their fields, such as `subject`;
    /// where the peer offers `AMQP_FILTEX_PROP_V1_0`. Names that are no symbols are left out.
    #[must_use]
    pub fn properties<N: AsRef<str>, V: Into<Value>>(wanted: impl IntoIterator<Item = (N, V)>) -> Self {
        let wanted: Map = wanted
            .into_iter()
            .filter_map(|(name, value)| Some((Symbol::try_from(name.as_ref()).ok()?, value.into())))
            .collect();
        Self::coded("properties-filter", 0x173, Value::Map(wanted))
    }

    /// Application properties that a message must have (`amqp:application-properties-filter`), where the peer offers
    /// `AMQP_FILTEX_PROP_V1_0`.
    #[must_use]
    pub fn application_properties<N: Into<String>, V: Into<Value>>(
        wanted: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let wanted: Map = wanted
            .into_iter()
            .map(|(name, value)| (Value::String(name.into().into()), value.into()))
            .collect();
        Self::coded("application-properties-filter", 0x174, Value::Map(wanted))
    }

    /// Any other filter whose descriptor is a symbol, such as `rabbitmq:stream-offset-spec`; it is also the filter's name.
    #[must_use]
    pub fn described(descriptor: &'static str, value: impl Into<Value>) -> Self {
        let name = Symbol::from_static(descriptor);
        let value = Described { descriptor: Value::Symbol(name.clone()), value: value.into() }.into();
        Self { name, value }
    }

    /// Any other filter whose descriptor is a number, such as 0x137000000c of `com.microsoft:session-filter`.
    ///
    /// ```
    /// use amqp_transport::Filter;
    ///
    /// let session = Filter::with_code("com.microsoft:session-filter", 0x13_7000_000c, "session-7");
    /// # let _ = session;
    /// ```
    #[must_use]
    pub fn with_code(name: &'static str, code: u64, value: impl Into<Value>) -> Self {
        Self::coded(name, code, value.into())
    }

    fn coded(name: &'static str, code: u64, value: Value) -> Self {
        Self { name: Symbol::from_static(name), value: Described { descriptor: code.into(), value }.into() }
    }

    /// The same filter under another name in the filter set: where there are several of a kind.
    #[must_use]
    pub fn named(mut self, name: Symbol) -> Self {
        self.name = name;
        self
    }

    /// Its name in the filter set.
    #[must_use]
    pub const fn name(&self) -> &Symbol {
        &self.name
    }

    pub(crate) fn into_parts(self) -> (Symbol, Value) {
        (self.name, self.value)
    }
}
