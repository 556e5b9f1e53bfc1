//! The `lapsed` command.

fn main() -> std::process::ExitCode {
    lapsed::cli::main()
}
