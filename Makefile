# make test      everything that CI runs, within minutes; installs what it needs
# make test-full the rest: long fuzzing, soaks, scale
# make bench     ratios to a bare write loop, side by side
.PHONY: test test-full bench check go-test browser deps

test: ; @./.ci/test
test-full: ; @./.ci/test-full
bench: ; @./.ci/bench
