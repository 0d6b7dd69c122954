# Convenience only: each line is a line you can type. CONTRIBUTING.md lists the checks.

# Everything that decides
check:
    .ci/run

# Tests
test:
    cargo test

# Seeds of the simulator
sim seeds="1000":
    cargo run --release -- sim --seeds {{seeds}}

# The long loops: every kill, many seeds, every mutant, every client with all cases and under fire
long *steps:
    scripts/long {{steps}}
