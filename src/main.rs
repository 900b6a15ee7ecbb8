//! The ffwarden binary: parse, set up logging, call one verb, turn its result into an exit code.

fn main() {}
