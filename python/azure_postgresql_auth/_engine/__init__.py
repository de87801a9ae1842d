"""What the public modules share: whose tokens, how a login waits for one, and how a driver connects with it."""
