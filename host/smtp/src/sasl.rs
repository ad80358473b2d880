//! The server's side of mechanisms that need more than their messages' borders: SCRAM as a pure machine, and how clients
//! send tokens. Who the client is, whoever drives them judges.

mod bearer;
mod name;
pub mod scram;

pub use bearer::Bearer;
