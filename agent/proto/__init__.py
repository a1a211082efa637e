"""The wire contract: protobuf sources, and the code that `make proto` generates from them."""
