package middleware

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gabblehq/chat"
	"github.com/go-playground/validator/v10"
)

// checker is rules that are known to make sense. It is safe for concurrent
// use, as its validator is.
type checker struct {
	Rules
	metaNames       []string // sorted, so that of two mistakes always the same is named
	attachmentNames []string
}

func newChecker(rules Rules) (*checker, error) {
	rules.Meta, rules.Attachment = maps.Clone(rules.Meta), maps.Clone(rules.Attachment)
	if rules.Validator == nil {
		rules.Validator = validator.New(validator.WithRequiredStructEnabled())
	}
	c := &checker{
		Rules:           rules,
		metaNames:       slices.Sorted(maps.Keys(rules.Meta)),
		attachmentNames: slices.Sorted(maps.Keys(rules.Attachment)),
	}
	return c, c.prove()
}

// check answers with the first part of the rule that the value breaks.
func (c *checker) check(ctx context.Context, field string, value any, rule string) error {
	if rule == "" {
		return nil
	}
	err := c.try(ctx, value, rule)
	if err == nil {
		return nil
	}
	var broken validator.ValidationErrors
	if errors.As(err, &broken) && len(broken) > 0 {
		rule = broken[0].Tag()
		if p := broken[0].Param(); p != "" {
			rule += "=" + p
		}
	}
	return &chat.Error{Code: chat.CodeInvalid, Message: fmt.Sprintf("%s breaks the rule %q", field, rule), Field: field}
}

// try makes an error of the panic by which a validator answers a value of a
// type that the rule is not about. In meta the client chooses the type.
func (c *checker) try(ctx context.Context, value any, rule string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return c.Validator.VarCtx(ctx, value, rule)
}

// prove tries each rule on values of the types it may meet: one that fits none
// of them is a mistake, to be found now and not by the first message.
func (c *checker) prove() error {
	var errs []error
	prove := func(field, rule string, samples ...any) {
		for _, part := range parts(rule) {
			if err := c.proveOne(part, samples); err != nil {
				errs = append(errs, fmt.Errorf("middleware: Rules.%s: %q: %w", field, rule, err))
				return
			}
		}
	}
	prove("Content", c.Content, "sample")
	prove("Mentions", c.Mentions, []string{"sample"})
	prove("Attachments", c.Attachments, []chat.Attachment{{URL: "sample"}})
	for _, name := range c.attachmentNames {
		sample := attachmentField(&chat.Attachment{URL: "x", Name: "x", Type: "x", Size: 1, Width: 1, Height: 1}, name)
		if sample == nil {
			errs = append(errs, fmt.Errorf("middleware: Rules.Attachment: there is no field %q", name))
			continue
		}
		prove(fmt.Sprintf("Attachment[%q]", name), c.Attachment[name], sample)
	}
	for _, name := range c.metaNames {
		prove(fmt.Sprintf("Meta[%q]", name), c.Meta[name],
			"sample", int64(1), 1.5, true, []any{"sample"}, map[string]any{"sample": "sample"})
	}
	return errors.Join(errs...)
}

// proveOne returns nil if the rule can be asked about one of the samples,
// whatever it says.
func (c *checker) proveOne(rule string, samples []any) error {
	var err error
	for _, s := range samples {
		var broken validator.ValidationErrors
		if err = c.try(context.Background(), s, rule); err == nil || errors.As(err, &broken) {
			return nil
		}
	}
	return errors.New(strings.TrimSpace(err.Error()))
}

// parts returns a rule whole, which finds what is misspelt, and taken apart,
// because a validator stops at the first part that a sample breaks and would
// never get to a mistake in the next. What follows a dive is about elements, and
// makes sense only whole.
func parts(rule string) []string {
	if rule == "" {
		return nil
	}
	all := strings.Split(rule, ",")
	if slices.Contains(all, "dive") {
		all = nil
	}
	return append([]string{rule}, all...)
}

func attachmentField(a *chat.Attachment, name string) any {
	switch name {
	case "url":
		return a.URL
	case "name":
		return a.Name
	case "type":
		return a.Type
	case "size":
		return a.Size
	case "width":
		return a.Width
	case "height":
		return a.Height
	}
	return nil
}
