//! Stand-in.
pub(crate) struct Address { tls: bool, host: String, port: u16 }
impl std::str::FromStr for Address {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let (tls, rest) = if let Some(r) = s.strip_prefix("amqp://") { (false, r) } else if let Some(r) = s.strip_prefix("amqps://") { (true, r) } else { return Err("unknown scheme".into()) };
        let host = rest.rsplit('@').next().unwrap_or(rest);
        let host = host.split('/').next().unwrap_or(host);
        let (h, p) = host.rsplit_once(':').unwrap_or((host, "5672"));
        Ok(Self { tls, host: h.into(), port: p.parse().map_err(|_| "bad port".to_owned())? })
    }
}
impl Address {
    pub(crate) fn is_tls(&self) -> bool { self.tls }
    pub(crate) fn host(&self) -> &str { &self.host }
    pub(crate) fn port(&self) -> u16 { self.port }
}
