//! The control of the bombs: the MIME parser without the relay's bounds in front of it.
//!
//! Reads a message from the standard input and parses it on a thread with the stack of a runtime worker. What the
//! relay never lets happen happens here: some messages end the whole process.

use std::io::{self, Read};
use std::thread;

/// The stack that tokio gives its workers.
const STACK_OCTETS: usize = 2 << 20;

fn main() -> io::Result<()> {
    let mut message = Vec::new();
    io::stdin().read_to_end(&mut message)?;
    let parsing =
        move || mail_parser::MessageParser::default().parse(&message).map_or(0, |parsed| parsed.parts.len());
    let parts = thread::Builder::new().stack_size(STACK_OCTETS).spawn(parsing)?.join();
    println!("{} parts", parts.unwrap_or_default());
    Ok(())
}
