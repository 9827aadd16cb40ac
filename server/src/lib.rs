//! The shell.

pub mod clock;
pub mod config;
pub mod process;
mod settings;
pub mod state;
pub use clock::clock_now;
pub use settings::*;
