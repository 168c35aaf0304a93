"""The outside world: client, intake and notifier come with their own issues; nothing is here yet."""
