//! stub
mod exit; mod output; mod table; mod human; mod suggest; mod rest;
/// .
pub fn main() -> std::process::ExitCode { exit::Exit::OK.into() }
