#![cfg_attr(fuzzing, no_main)]
leasehold_fuzz::target!(leasehold_fuzz::template::run);
