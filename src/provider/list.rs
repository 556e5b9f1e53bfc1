//! What a provider's account has, page by page.
//!
//! No more than two pages are held at a time, however many there are. A provider that gives
//! the same page again, whatever was asked for, ends the walk with an error, so that a list
//! never goes on for ever and never passes for whole when it is not.

use std::collections::HashSet;
use std::sync::Arc;

use super::{LookError, Reader};
use crate::model::ids::SubscriptionId;
use crate::model::observed::Subscription;
use crate::model::terms::short_digest;

/// How much is asked for. What comes may be more: whoever asks sifts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What could be cancelled now.
    Living,
    /// What has ended or not begun as well.
    All,
}

/// Where a list goes on, as the page before told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// Kajabi: the number of a page, from 1.
    Page(u64),
    /// Revere: how many came before.
    Offset(u64),
    /// Lotus: everybody who is asked for, one after the other.
    Customers {
        /// Their ids.
        all: Arc<[String]>,
        /// Whose turn it is.
        next: usize,
    },
}

impl Cursor {
    /// Where it goes on with the customer whose turn it is; none where nobody is left.
    pub(super) fn customers(all: Arc<[String]>, next: usize) -> Option<Self> {
        (next < all.len()).then_some(Self::Customers { all, next })
    }
}

/// A subscription of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id, in its one spelling.
    pub id: SubscriptionId,
    /// What the provider says of it; a list looks for no successor.
    pub subscription: Subscription,
}

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// In the provider's order.
    pub entries: Vec<Listed>,
    /// Entries that cannot be read, or have an id that no item can have.
    pub unreadable: u64,
    /// Where the next page begins; none: this was the last.
    pub next: Option<Cursor>,
    /// A digest of what came, where it could come a second time.
    mark: Option<String>,
}

impl ListPage {
    /// A page of what came, nothing of it read yet. The page is known again by the ids of what
    /// came, or by all that it says where there are none.
    pub(super) fn of(values: &[serde_json::Value]) -> Self {
        let mut named = String::new();
        for value in values {
            match value.get("id").and_then(serde_json::Value::as_str) {
                Some(id) => named.push_str(id),
                None => named.push_str(&value.to_string()),
            }
            named.push('\n');
        }
        Self {
            mark: (!values.is_empty()).then(|| short_digest(named.as_bytes())),
            ..Self::default()
        }
    }
}

/// Reads all pages, one after the other.
pub struct Walk<'r> {
    reader: &'r dyn Reader,
    scope: Scope,
    place: Place,
    /// The digests of the pages so far.
    known: HashSet<String>,
    /// The ids of the page before.
    before: HashSet<SubscriptionId>,
}

/// Where a walk has come to.
enum Place {
    Begin,
    At(Cursor),
    End,
}

impl<'r> Walk<'r> {
    /// Begins at the first page.
    pub fn new(reader: &'r dyn Reader, scope: Scope) -> Self {
        Self {
            reader,
            scope,
            place: Place::Begin,
            known: HashSet::new(),
            before: HashSet::new(),
        }
    }

    /// The next page; none after the last. After an error the same page may be asked for again.
    /// What the page before had already is left out: what is bought or deleted meanwhile moves
    /// entries over the seam between two pages.
    ///
    /// # Errors
    /// The page cannot be read, or is one that came before.
    pub async fn next(&mut self) -> Result<Option<ListPage>, LookError> {
        let from = match &self.place {
            Place::Begin => None,
            Place::At(cursor) => Some(cursor.clone()),
            Place::End => return Ok(None),
        };
        let mut page = self.reader.list(self.scope, from).await?;
        if let Some(mark) = &page.mark
            && !self.known.insert(mark.clone())
        {
            return Err(LookError::Unavailable {
                why: "the provider gave the same page a second time".to_owned(),
            });
        }
        self.place = page.next.clone().map_or(Place::End, Place::At);
        let mut ids = HashSet::new();
        page.entries
            .retain(|entry| ids.insert(entry.id.clone()) && !self.before.contains(&entry.id));
        self.before = ids;
        Ok(Some(page))
    }
}
