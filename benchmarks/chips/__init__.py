"""What the compilers of TPUs and GPUs make of the library's programs, without the chips: estimates, not measurements."""
