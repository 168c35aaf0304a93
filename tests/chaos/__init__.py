"""The task under every fault that can be thought of: a whole world in one thread, played again from its seed."""
