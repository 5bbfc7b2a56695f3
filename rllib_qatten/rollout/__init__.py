"""How games are played and remembered: env runner, exploration, episodes, replay."""
