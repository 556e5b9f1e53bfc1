//! Files whose items are read as they come: nobody keeps the tree of a million of them.
//!
//! An item can be read when all else of its file is known. Where its list is the last thing in the
//! file, that is so when the list begins, and the text is read once. Where something may follow,
//! the text is read a second time for the items.

use super::items::{self, Defaults, Items, Source};
use super::settings::{self, Settings};
use super::{FileText, ITEMS, Input, Told, csv};
use crate::yaml::{self, Document, Fault, Node, Taker};

/// All but the items of the main file.
pub(super) struct Main {
    pub settings: Settings,
    defaults: Defaults,
}

/// A file that was read to its end.
pub(super) struct Read<H> {
    /// What is not handed on.
    pub document: Document,
    /// All but the items; none where something is wrong with it, which is told.
    pub head: Option<H>,
}

/// Where the items of all files go, and what is wrong with them.
#[derive(Default)]
pub(super) struct Found {
    pub items: Items,
    pub told: Told,
}

/// Reads the main file; none where it is no YAML, which is told.
pub(super) fn main_file(
    file: FileText<'_>,
    input: &Input<'_>,
    told: &mut Told,
    found: &mut Found,
) -> Option<Read<Main>> {
    let name = file.name;
    let mut reader = MainFile {
        name,
        input,
        told,
        found,
    };
    match read(file.bytes, &mut reader) {
        Ok(read) => Some(read),
        Err(faults) => {
            told.of(name).faults(faults);
            None
        }
    }
}

/// Reads an included file; its items only if the settings are known.
pub(super) fn included_file(
    file: FileText<'_>,
    settings: Option<&Settings>,
    told: &mut Told,
    found: &mut Found,
) {
    let name = file.name;
    let mut told_of_items = Told::default();
    let mut reader = IncludedFile {
        name,
        settings,
        told,
        items: &mut found.items,
        told_of_items: &mut told_of_items,
    };
    let result = match name.ends_with(".csv") {
        true => csv::parse(file.bytes).map(|root| reader.table(&root)),
        false => read(file.bytes, &mut reader).map(drop),
    };
    match result {
        Ok(()) => found.told.absorb(told_of_items),
        Err(faults) => told.of(name).faults(faults),
    }
}

/// Reads one kind of file.
trait Reader {
    /// All but the items.
    type Head;
    /// Reads it; none where something is wrong with it, which it tells.
    fn head(&mut self, root: &Node) -> Option<Self::Head>;
    /// Reads an item.
    fn item(&mut self, head: &Self::Head, node: &Node);
    /// Reads what stands under their key and was not handed on.
    fn rest(&mut self, head: &Self::Head, root: &Node);
}

struct MainFile<'f> {
    name: &'f str,
    input: &'f Input<'f>,
    told: &'f mut Told,
    found: &'f mut Found,
}

impl Reader for MainFile<'_> {
    type Head = Main;

    fn head(&mut self, root: &Node) -> Option<Main> {
        let settings = settings::read(root, self.input, &mut self.told.of(self.name))?;
        let mut teller = self.found.told.of(self.name);
        Some(Main {
            defaults: Defaults::none(root, &settings, &mut teller),
            settings,
        })
    }

    fn item(&mut self, main: &Main, node: &Node) {
        let source = main.source(self.name);
        let Found { items, told } = &mut *self.found;
        items.take(source, node, &mut told.of(self.name));
    }

    fn rest(&mut self, main: &Main, root: &Node) {
        let source = main.source(self.name);
        let Found { items, told } = &mut *self.found;
        items.rest(source, root, &mut told.of(self.name));
    }
}

impl Main {
    fn source<'m>(&'m self, file: &'m str) -> Source<'m> {
        Source {
            file,
            settings: &self.settings,
            defaults: &self.defaults,
        }
    }
}

struct IncludedFile<'f> {
    name: &'f str,
    settings: Option<&'f Settings>,
    told: &'f mut Told,
    items: &'f mut Items,
    told_of_items: &'f mut Told,
}

impl IncludedFile<'_> {
    /// Reads a table, which has no more than items.
    fn table(&mut self, root: &Node) {
        if let Some(settings) = self.settings {
            let mut teller = self.told_of_items.of(self.name);
            let defaults = Defaults::none(root, settings, &mut teller);
            self.rest(&(settings, defaults), root);
        }
    }
}

impl<'f> Reader for IncludedFile<'f> {
    type Head = (&'f Settings, Defaults);

    fn head(&mut self, root: &Node) -> Option<Self::Head> {
        let raw = items::included(root, &mut self.told.of(self.name))?;
        let settings = self.settings?;
        let mut teller = self.told_of_items.of(self.name);
        Some((settings, Defaults::of(raw, root, settings, &mut teller)))
    }

    fn item(&mut self, (settings, defaults): &Self::Head, node: &Node) {
        let file = self.name;
        let source = Source {
            file,
            settings,
            defaults,
        };
        let mut teller = self.told_of_items.of(file);
        self.items.take(source, node, &mut teller);
    }

    fn rest(&mut self, (settings, defaults): &Self::Head, root: &Node) {
        let file = self.name;
        let source = Source {
            file,
            settings,
            defaults,
        };
        let mut teller = self.told_of_items.of(file);
        self.items.rest(source, root, &mut teller);
    }
}

/// Reads a file with items in it.
fn read<R: Reader>(bytes: &[u8], reader: &mut R) -> Result<Read<R::Head>, Vec<Fault>> {
    let mut stream = Stream {
        reader,
        head: None,
        passed: false,
    };
    let document = yaml::parse_handing_on(bytes, ITEMS, &mut stream)?;
    if stream.head.is_none() {
        let head = stream.reader.head(&document.root);
        let again = stream.passed && head.is_some();
        stream.head = Some(head);
        if again {
            yaml::parse_handing_on(bytes, ITEMS, &mut stream)?;
        }
    }
    let Stream { reader, head, .. } = stream;
    let head = head.flatten();
    if let Some(head) = &head {
        reader.rest(head, &document.root);
    }
    Ok(Read { document, head })
}

/// Takes items where the head of their file is known.
struct Stream<'r, R: Reader> {
    reader: &'r mut R,
    /// None as long as something of it may follow.
    head: Option<Option<R::Head>>,
    /// Whether an item went by that could not be read yet.
    passed: bool,
}

impl<R: Reader> Taker for Stream<'_, R> {
    fn begins(&mut self, so_far: &Node, last: bool) {
        if last && self.head.is_none() {
            self.head = Some(self.reader.head(so_far));
        }
    }

    fn take(&mut self, node: Node) {
        match &self.head {
            Some(Some(head)) => self.reader.item(head, &node),
            Some(None) => {}
            None => self.passed = true,
        }
    }
}
