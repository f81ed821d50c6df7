//! Rank 1: the machine. The only folder that names the io_uring runtime, libc or mmap.
