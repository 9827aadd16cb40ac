//! The `leasehold` command. Everything it does is in the library beside it, so that tests can reach it.

fn main() -> std::process::ExitCode {
    leasehold_cli::main()
}
