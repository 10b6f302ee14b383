use amqp_codec::{messaging::*, transport::*, types::*, *};
fn main() {
    macro_rules! s{($($t:ty),*)=>{$(println!("{} {}",stringify!($t),size_of::<$t>());)*}}
    s!(
        Performative,
        Transfer,
        Flow,
        Disposition,
        Detach,
        DeliveryState,
        ErrorInfo,
        Option<DeliveryState>,
        Message,
        Properties,
        Header,
        Value,
        MessageId,
        Body,
        Option<ByteString>,
        Option<Bytes>,
        Symbol,
        Fields,
        Modified,
        (ByteString, Value)
    );
}
