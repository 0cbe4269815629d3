# make test      everything that CI runs, within minutes; installs what it needs
# make test-full the rest: repetition, long fault tests, fuzzing, soaks
# make bench     ratios to a bare write loop, side by side
.PHONY: test test-full bench

test: ; @./.ci/test
test-full: ; @./.ci/test-full
bench: ; @./.ci/bench
