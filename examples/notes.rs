//! Notes: each user has their own, sees only those, and hears in one client of what another one changes.
//!
//! ```text
//! cargo run --example notes -- tokens.txt notes.jsonl 127.0.0.1:3001   # tokens.txt has lines of NAME:TOKEN
//! ```
//!
//! Tools, the template with its list, a completion and a hook use one store, which the server owns as its state: none of them
//! needs a lock. The store is a map and an open file of JSON lines. A connection to a database could stand in its place; this
//! example has none so that it builds without a C compiler.
#![allow(missing_docs, reason = "a test uses parts of this program")]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};

use mcp_rill::uri::Vars;
use mcp_rill::{
    Call, CallError, CompletionRequest, PageRequest, Principal, Resource, ResourceTemplate, Result, Server,
    State, Tokens, Tool, schema,
};

const NOTES_MAX: usize = 1000;

schema! { struct Put {
    /// The note to replace. A new one is written without it.
    id: Option<u64>,
    /// What it says.
    text: String { length 1..=4000 },
} }

schema! { struct Id {
    /// The note's number.
    id: u64,
} }

schema! { struct Find {
    /// A word that the notes contain.
    word: String,
} }

schema! {
    /// A line of the file. Without a text the note is deleted.
    struct Line { id: u64, owner: String, text: Option<String> }
}

pub struct Notes {
    file: File,
    /// By owner and number.
    texts: BTreeMap<(Principal, u64), String>,
    last: u64,
}

impl Notes {
    pub fn open(path: &str) -> io::Result<Notes> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut notes = Notes { file: file.try_clone()?, texts: BTreeMap::new(), last: 0 };
        for line in BufReader::new(file).lines() {
            notes.apply(schema::parse(&line?).map_err(io::Error::other)?);
        }
        Ok(notes)
    }

    fn apply(&mut self, Line { id, owner, text }: Line) {
        self.last = self.last.max(id);
        let key = (Principal::new(owner), id);
        match text {
            Some(text) => self.texts.insert(key, text),
            None => self.texts.remove(&key),
        };
    }

    fn write(&mut self, owner: &Principal, id: u64, text: Option<String>) -> io::Result<()> {
        let line = Line { id, owner: owner.name().to_owned(), text };
        writeln!(self.file, "{}", schema::to_json(&line))?;
        self.apply(line);
        Ok(())
    }

    fn of(&self, owner: &Principal) -> impl Iterator<Item = (u64, &str)> {
        let notes = self.texts.range((owner.clone(), 0)..=(owner.clone(), u64::MAX));
        notes.map(|((_, id), text)| (*id, text.as_str()))
    }

    fn find(&self, owner: &Principal, id: u64) -> Result<&str> {
        let text = self.texts.get(&(owner.clone(), id));
        Ok(text.ok_or_else(|| format!("you have no note {id}; `find` lists your notes"))?)
    }

    fn put(&mut self, Put { id, text }: Put, call: &mut Call) -> Result<String> {
        let owner = owner(call)?;
        match id {
            Some(id) => {
                self.find(&owner, id)?;
                self.write(&owner, id, Some(text))?;
                call.handle().resource_updated_for(&owner, &uri(id));
                Ok(format!("replaced {}", uri(id)))
            }
            None if self.of(&owner).count() >= NOTES_MAX => {
                Err("you have too many notes; delete some".into())
            }
            None => {
                let id = self.last + 1;
                self.write(&owner, id, Some(text))?;
                call.handle().resources_changed_for(&owner);
                Ok(format!("wrote {}", uri(id)))
            }
        }
    }

    fn delete(&mut self, Id { id }: Id, call: &mut Call) -> Result<&'static str> {
        let owner = owner(call)?;
        self.find(&owner, id)?;
        self.write(&owner, id, None)?;
        call.handle().resources_changed_for(&owner);
        Ok("deleted")
    }

    fn search(&mut self, Find { word }: Find, call: &mut Call) -> Result<String> {
        let owner = owner(call)?;
        let found = self.of(&owner).filter(|(_, text)| text.contains(&word));
        Ok(found.map(|(id, text)| format!("{id}: {text}\n")).collect())
    }

    fn read(&mut self, vars: &Vars, call: &mut Call) -> Result<String, CallError> {
        let (owner, id) = (owner(call)?, vars.get("id").and_then(|id| id.parse().ok()));
        id.and_then(|id| self.texts.get(&(owner, id)).cloned()).ok_or_else(CallError::not_found)
    }

    fn list(&mut self, _: &PageRequest, call: &mut Call) -> Result<Vec<Resource>, CallError> {
        let owner = owner(call)?;
        let title = |text: &str| text.chars().take(40).collect::<String>();
        Ok(self.of(&owner).map(|(id, text)| Resource::new(uri(id), title(text))).collect())
    }

    fn complete(&mut self, partial: &CompletionRequest) -> Vec<String> {
        let Some(owner) = partial.principal() else { return Vec::new() };
        self.of(owner).map(|(id, _)| id.to_string()).filter(|id| id.starts_with(partial.value())).collect()
    }

    /// Asked before each notification, so that nobody hears of a note that is not theirs.
    fn may_subscribe(&mut self, of: &str, principal: Option<&Principal>) -> bool {
        principal.is_some_and(|owner| self.of(owner).any(|(id, _)| uri(id) == of))
    }
}

fn uri(id: u64) -> String {
    format!("note:///{id}")
}

fn owner(call: &Call) -> Result<Principal, CallError> {
    call.principal().cloned().ok_or_else(|| CallError::new(4001, "notes belong to somebody: send a token"))
}

pub fn server(notes: Notes) -> Server<State<Notes>> {
    let note =
        ResourceTemplate::new("note:///{id}", "note").title("One of your notes").mime_type("text/plain");
    Server::with_state("notes", "1.0.0", notes)
        .tool("put", "Write a note, or replace one", Notes::put)
        .offer(Tool::new("delete", "Delete a note").destructive(true).handler_with_state(Notes::delete))
        .offer(Tool::new("find", "Find notes by a word").read_only(true).handler_with_state(Notes::search))
        .tool("count", "Count your notes", |notes, (), call| {
            owner(call).map(|owner| notes.of(&owner).count())
        })
        .offer(note.list_with_state(Notes::list).handler_with_state(Notes::read))
        .complete_template_with_state("note:///{id}", "id", Notes::complete)
        .on_subscribe(Notes::may_subscribe)
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |usage: &str| arguments.next().ok_or_else(|| format!("{usage} is missing"));
    let tokens = Tokens::read(&std::fs::read_to_string(argument("the file of tokens")?)?)?;
    let notes = Notes::open(&argument("the file of notes")?)?;
    let address = argument("HOST:PORT").unwrap_or("127.0.0.1:3001".to_owned());
    Ok(server(notes).authorize(move |request| tokens.authorize(request)).listen(address)?.run()?)
}
