"""What the tests of `rllib train` run."""

GAME = """\
game:
  run: QMIX
  env: two_step_game
  stop: {training_iteration: 3}
  config:
    lr: 0.001
    min_sample_timesteps_per_iteration: 128
    evaluation_duration: 4
    train_batch_size_episodes: 8
"""
