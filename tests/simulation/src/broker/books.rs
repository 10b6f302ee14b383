//! The account of every message that clients give the broker: where each may be, and what became of each transaction.

use amqp_codec::Encode;
use amqp_codec::messaging::Message as Encoded;
use amqp_transport::engine::LinkKey;
use amqp_transport::transaction::TransactionId;
use bytes::Bytes;

/// Names a connection, of any client.
pub(super) type Connection = u64;

/// What the publisher was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Accepted,
    /// Accepted, if the transaction is committed.
    Provisional,
    Rejected,
    /// The link ended before anything was told.
    Nothing,
}

/// Where a message is, as far as clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On its way to the broker, in it, or on its way from it.
    Out,
    /// A consumer has taken it, and not decided.
    Held { connection: Connection, link: LinkKey },
    /// Accepted within a transaction.
    Retired(usize),
    /// Accepted; the broker may not have heard it.
    Done(Connection),
    /// Accepted, on a connection that broke: the broker may have heard it.
    Maybe,
    /// Accepted, and the broker has heard it.
    Gone,
}

#[derive(Debug)]
struct Message {
    queue: usize,
    len: usize,
    transaction: Option<usize>,
    settled: bool,
    told: Option<Told>,
    /// It came settled, and the broker has heard it.
    is_heard: bool,
    place: Place,
    arrivals: u32,
    /// It may come from its own queue, and from the queue of dead letters.
    may_come: [bool; 2],
    /// The connection on which it was rejected, if the broker may not have heard it.
    rejected_on: Option<Connection>,
}

/// Where a transaction stands, as far as its controller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Declaring,
    Open,
    Committing,
    RollingBack,
    Committed,
    RolledBack,
    /// The answer to the commit was lost.
    Unknown,
}

#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) connection: Connection,
    pub(super) control: LinkKey,
    pub(super) id: Option<TransactionId>,
    pub(super) standing: Standing,
    posts: Vec<usize>,
    retired: Vec<usize>,
    /// Something came that shows that it was rolled back, or committed.
    shows: [bool; 2],
}

#[derive(Debug, Default)]
pub(super) struct Books {
    messages: Vec<Message>,
    pub(super) transactions: Vec<Transaction>,
    pub(super) arrived: u64,
    pub(super) told: u64,
}

const ROLLED_BACK: usize = 0;
const COMMITTED: usize = 1;

/// The body of a message: its number, and octets that follow from it.
fn body(number: usize, len: usize) -> Vec<u8> {
    let number = u64::try_from(number).unwrap_or(0);
    let mut octets = number.to_be_bytes().to_vec();
    octets.extend((0..len).map(|place| {
        u8::try_from((u64::try_from(place).unwrap_or(0).wrapping_mul(31) ^ number) & 0xff).unwrap_or(0)
    }));
    octets
}

impl Books {
    /// Enters a message and gives its number and its octets.
    pub(super) fn post(
        &mut self,
        queue: usize,
        len: usize,
        settled: bool,
        transaction: Option<usize>,
    ) -> (usize, Bytes) {
        let number = self.messages.len();
        self.messages.push(Message {
            queue,
            len,
            transaction,
            settled,
            told: None,
            is_heard: false,
            place: Place::Out,
            arrivals: 0,
            may_come: [true, false],
            rejected_on: None,
        });
        if let Some(transaction) = transaction {
            self.transactions[transaction].posts.push(number);
        }
        (number, Encoded::data(body(number, len)).to_bytes())
    }

    /// A controller asks for a transaction. Gives its number.
    pub(super) fn declare(&mut self, connection: Connection, control: LinkKey) -> usize {
        self.transactions.push(Transaction {
            connection,
            control,
            id: None,
            standing: Standing::Declaring,
            posts: Vec::new(),
            retired: Vec::new(),
            shows: [false; 2],
        });
        self.transactions.len() - 1
    }

    /// The publisher is told.
    pub(super) fn told(&mut self, number: usize, told: Told) -> Result<(), String> {
        let message = &mut self.messages[number];
        self.told += 1;
        if let Some(before) = message.told.replace(told) {
            return Err(format!("the publisher of message {number} is told twice: {before:?}, {told:?}"));
        }
        match (told, message.transaction) {
            (Told::Accepted, Some(_)) => {
                Err(format!("message {number} is accepted outside of its transaction"))
            }
            (Told::Provisional, None) => Err(format!("message {number} is within no transaction")),
            (Told::Rejected, _) if message.arrivals > 0 => {
                Err(format!("message {number} is rejected, and it came out"))
            }
            _ => Ok(()),
        }
    }

    /// The broker has heard of this message that was sent settled.
    pub(super) fn heard(&mut self, number: usize) {
        self.messages[number].is_heard = true;
    }

    /// A consumer takes a message. Gives its number.
    pub(super) fn arrived(
        &mut self,
        payload: &Bytes,
        queue: usize,
        is_dead: bool,
        (connection, link): (Connection, LinkKey),
    ) -> Result<usize, String> {
        let decoded = amqp_codec::messaging::MessageSections::parse(payload)
            .map_err(|error| format!("what arrives is no message: {error}"))?;
        let octets = decoded.data().map_err(|error| error.to_string())?.ok_or("a message without data")?;
        let number = octets.first_chunk::<8>().map(|number| u64::from_be_bytes(*number));
        let number = number.and_then(|number| usize::try_from(number).ok()).unwrap_or(usize::MAX);
        let message =
            self.messages.get_mut(number).ok_or_else(|| format!("message {number} comes from nowhere"))?;
        if octets[..] != body(number, message.len)[..] {
            return Err(format!("message {number} arrives changed"));
        }
        if queue != message.queue || !message.may_come[usize::from(is_dead)] {
            return Err(format!("message {number} comes from a queue where it cannot be"));
        }
        if message.told == Some(Told::Rejected) {
            return Err(format!("message {number} comes although it was rejected"));
        }
        if let Some(index) = message.transaction {
            let transaction = &mut self.transactions[index];
            match transaction.standing {
                Standing::Committed => {}
                Standing::Committing | Standing::Unknown => transaction.shows[COMMITTED] = true,
                standing => {
                    return Err(format!(
                        "message {number} shows, and its transaction {index} is {standing:?}"
                    ));
                }
            }
        }
        match message.place {
            Place::Out | Place::Maybe => {}
            Place::Retired(index) => {
                let transaction = &mut self.transactions[index];
                match transaction.standing {
                    Standing::RolledBack | Standing::RollingBack => {}
                    Standing::Unknown | Standing::Committing => transaction.shows[ROLLED_BACK] = true,
                    standing => {
                        return Err(format!(
                            "message {number} comes again, and transaction {index}, within which it was accepted, is {standing:?}"
                        ));
                    }
                }
            }
            place => return Err(format!("message {number} comes twice: it is {place:?}")),
        }
        message.place = Place::Held { connection, link };
        message.arrivals += 1;
        // Where it is now shows where it was rejected.
        message.may_come = [!is_dead, is_dead];
        message.rejected_on = None;
        self.arrived += 1;
        Ok(number)
    }

    /// The consumer accepts a message.
    pub(super) fn accepted(&mut self, number: usize, connection: Connection) {
        self.messages[number].place = Place::Done(connection);
    }

    /// The consumer gives a message back; as a dead letter, or to come again.
    pub(super) fn returned(&mut self, number: usize, connection: Connection, is_dead: bool) {
        let message = &mut self.messages[number];
        message.place = Place::Out;
        if is_dead && message.may_come[0] {
            message.may_come = [false, true];
            message.rejected_on = Some(connection);
        } else if is_dead {
            // A queue of dead letters has none of its own: it is gone.
            message.place = Place::Done(connection);
        }
    }

    /// The consumer accepts a message within a transaction.
    pub(super) fn retired(&mut self, number: usize, transaction: usize) {
        self.messages[number].place = Place::Retired(transaction);
        self.transactions[transaction].retired.push(number);
    }

    /// After a rollback a message is its consumer's again.
    pub(super) fn reverted(&mut self, number: usize, connection: Connection, link: LinkKey) {
        self.messages[number].place = Place::Held { connection, link };
    }

    /// A link is over: what its consumer had goes back.
    pub(super) fn link_ended(&mut self, connection: Connection, link: LinkKey) {
        let held = Place::Held { connection, link };
        for message in self.messages.iter_mut().filter(|message| message.place == held) {
            message.place = Place::Out;
        }
        for transaction in &mut self.transactions {
            if transaction.connection == connection && transaction.control == link {
                transaction.standing = match transaction.standing {
                    Standing::Declaring | Standing::Open | Standing::RollingBack => Standing::RolledBack,
                    Standing::Committing => Standing::Unknown,
                    standing => standing,
                };
            }
        }
    }

    /// A connection broke: what was said on it of late may not have been heard.
    pub(super) fn lost(&mut self, connection: Connection) {
        for message in &mut self.messages {
            if message.place == Place::Done(connection) {
                message.place = Place::Maybe;
            }
            if message.rejected_on == Some(connection) {
                message.rejected_on = None;
                message.may_come = [true, true];
            }
        }
    }

    /// Everything that was said has been heard.
    pub(super) fn all_heard(&mut self) {
        for message in &mut self.messages {
            if matches!(message.place, Place::Done(_)) {
                message.place = Place::Gone;
            }
            message.rejected_on = None;
        }
    }

    /// The broker is empty: what had to come out has come out.
    pub(super) fn check_home(&mut self) -> Result<(), String> {
        for (number, message) in self.messages.iter().enumerate() {
            let is_out = matches!(message.place, Place::Gone | Place::Maybe);
            let is_owed = match message.transaction {
                None => message.told == Some(Told::Accepted) || (message.settled && message.is_heard),
                Some(index) => {
                    message.told == Some(Told::Provisional)
                        && self.transactions[index].standing == Standing::Committed
                }
            };
            if is_owed && !is_out && !self.is_retired_for_good(message.place) {
                return Err(format!("message {number} is lost: {message:?}"));
            }
        }
        for (index, transaction) in self.transactions.iter().enumerate() {
            self.check_transaction(index, transaction)?;
        }
        Ok(())
    }

    fn is_retired_for_good(&self, place: Place) -> bool {
        matches!(place, Place::Retired(index)
            if matches!(self.transactions[index].standing, Standing::Committed | Standing::Unknown))
    }

    /// All of a transaction or nothing.
    fn check_transaction(&self, index: usize, transaction: &Transaction) -> Result<(), String> {
        if transaction.standing == Standing::RolledBack {
            let kept = |number: &&usize| self.messages[**number].place == Place::Retired(index);
            if let Some(number) = transaction.retired.iter().find(kept) {
                return Err(format!(
                    "message {number} is lost: it was accepted in transaction {index}, which was rolled back"
                ));
            }
        }
        if transaction.standing != Standing::Unknown {
            return Ok(());
        }
        let mut shows = transaction.shows;
        for number in &transaction.posts {
            let message = &self.messages[*number];
            if message.told == Some(Told::Provisional) {
                shows[usize::from(message.arrivals > 0)] = true;
            }
        }
        if transaction.retired.iter().any(|number| self.messages[*number].place == Place::Retired(index)) {
            shows[COMMITTED] = true;
        }
        if shows == [true, true] {
            return Err(format!("transaction {index} was committed by halves: {transaction:?}"));
        }
        Ok(())
    }
}
