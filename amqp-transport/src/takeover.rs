//! Link stealing (§2.6.1): a link is known by both containers, its name and its direction. Who attaches it again, on this
//! connection or another, takes it over, and the older end is detached.

use crate::engine::sasl::Identity;
use crate::session::LinkHandle;
use amqp_codec::transport::Role;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What one link is known by. The user belongs to it: nobody takes a link over by saying another one's container-id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Known {
    user: Option<String>,
    container: String,
    name: String,
    is_sender: bool,
}

#[derive(Debug, Default)]
struct Table {
    links: HashMap<Known, (u64, Weak<LinkHandle>)>,
    next: u64,
}

/// The links that a listener has accepted, over all of its connections.
#[derive(Debug, Default)]
pub(crate) struct Takeovers(Mutex<Table>);

/// Takes a link out of the listener's table when it goes.
#[derive(Debug)]
pub(crate) struct Registration {
    table: Arc<Takeovers>,
    known: Known,
    number: u64,
}

impl Takeovers {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for a link that is being accepted: gives its registration, and who has held the link until now.
    pub(crate) fn take_over(
        self: &Arc<Self>,
        identity: &Identity,
        container: &str,
        name: &str,
        role: Role,
    ) -> (Registration, Option<Arc<LinkHandle>>) {
        let known = Known {
            user: match identity {
                Identity::Anonymous => None,
                Identity::User(user) => Some(user.clone()),
            },
            container: container.to_owned(),
            name: name.to_owned(),
            is_sender: role == Role::Sender,
        };
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        let before = table.links.insert(known.clone(), (number, Weak::new()));
        drop(table);
        let before = before.and_then(|(_, link)| link.upgrade());
        (Registration { table: Arc::clone(self), known, number }, before)
    }
}

impl Registration {
    /// The link is accepted: from now on it can be taken over.
    pub(crate) fn hold(&self, link: &Arc<LinkHandle>) {
        if let Some((number, held)) = self.table.lock().links.get_mut(&self.known)
            && *number == self.number
        {
            *held = Arc::downgrade(link);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        if table.links.get(&self.known).is_some_and(|(number, _)| *number == self.number) {
            table.links.remove(&self.known);
        }
    }
}
