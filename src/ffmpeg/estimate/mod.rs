//! Bytes an FFmpeg command is expected to peak at, before it starts. Pure.
