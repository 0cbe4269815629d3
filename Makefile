# make test      everything that CI runs, within minutes; installs what it needs
# make test-full the rest: repetition, long fault tests, fuzzing, soaks
# make lint      the linters alone
# make bench     ratios to a bare write loop, side by side
.PHONY: test test-full lint bench

test: ; @./.ci/test
test-full: ; @./.ci/test-full
lint: ; @./.ci/lint
bench: ; @./.ci/bench
