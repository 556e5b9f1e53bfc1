//! The `lapsed` command.

/// Gives back what is not used any more: after a million items were accepted, the C library's own
/// allocator kept ten gigabytes, in a daemon that holds nothing of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    lapsed::cli::main()
}
