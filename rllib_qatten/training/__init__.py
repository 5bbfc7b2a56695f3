"""How Q_tot is learned: batches, RLModules, Learner, returns."""
