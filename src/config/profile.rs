//! Profiles: named recipes for rewriting a command line and limiting its slice.
