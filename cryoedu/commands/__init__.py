"""What a person types: one module for each kind of command, its options, and how a job runs from its checks on."""
