"""The pure core: what incident and contract events mean. No I/O, no clock, no Faust, no asyncio, no logging."""
