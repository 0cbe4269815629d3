package middleware

import (
	"context"
	"fmt"

	"github.com/gabblehq/chat"
	"github.com/go-json-experiment/json"
	"github.com/go-playground/validator/v10"
)

// Rules are what messages must look like, in the tags of
// github.com/go-playground/validator. An empty rule allows everything. The
// limits of Options.Limits hold beside them.
type Rules struct {
	// Content is for the text: "max=500,excludesall=<>".
	// Text counts in characters.
	Content string

	// Mentions is for the list of mentioned users: "max=10,unique".
	Mentions string

	// Meta are for the fields of the meta object, by name:
	// {"priority": "omitempty,oneof=low high"}. A field that is absent or null
	// is checked as well, so say omitempty where it may be. Whole numbers are
	// checked as int64, others as float64.
	Meta map[string]string

	// OnlyMeta refuses every meta field without a rule.
	OnlyMeta bool

	// Attachments is for the list of attachments: "max=4".
	Attachments string

	// Attachment are for the fields url, name, type, size, width and height of
	// each: {"url": "startswith=https://", "size": "max=5000000"}.
	Attachment map[string]string

	// Validator knows the tags. To have tags of your own, register them before
	// and give it here. Default: a new one with the usual tags.
	Validator *validator.Validate
}

// Validate answers messages and edits that break the rules with invalid, the
// field and the rule, before they get anywhere. Of an edit the rules are held
// against the message as the edit leaves it.
//
// It panics if a rule makes no sense, which is a mistake of the program. The
// rules are compiled once, into one validator that all commands share.
func Validate(rules Rules) chat.Middleware {
	c, err := newChecker(rules)
	if err != nil {
		panic(err.Error())
	}
	return func(next chat.Handler) chat.Handler {
		return func(ctx context.Context, cmd *chat.Command) error {
			switch cmd.Type {
			case chat.CmdMessage, chat.CmdEdit:
				if err := c.message(ctx, cmd); err != nil {
					return err
				}
			}
			return next(ctx, cmd)
		}
	}
}

func (c *checker) message(ctx context.Context, cmd *chat.Command) error {
	if err := c.check(ctx, "content", cmd.Content, c.Content); err != nil {
		return err
	}
	if err := c.check(ctx, "mentions", cmd.Mentions, c.Mentions); err != nil {
		return err
	}
	if err := c.check(ctx, "attachments", cmd.Attachments, c.Attachments); err != nil {
		return err
	}
	for i := range cmd.Attachments {
		for _, name := range c.attachmentNames {
			field := fmt.Sprintf("attachments[%d].%s", i, name)
			if err := c.check(ctx, field, attachmentField(&cmd.Attachments[i], name), c.Attachment[name]); err != nil {
				return err
			}
		}
	}
	return c.meta(ctx, cmd.Meta)
}

func (c *checker) meta(ctx context.Context, raw []byte) error {
	if len(c.metaNames) == 0 && !c.OnlyMeta {
		return nil
	}
	var meta map[string]any
	if len(raw) > 0 {
		// Strict: of a field that is there twice, another reader might take
		// the one that was not checked.
		if err := json.Unmarshal(raw, &meta); err != nil {
			return (&chat.Error{Code: chat.CodeInvalid, Message: "meta is not a JSON object", Field: "meta"}).WithCause(err)
		}
	}
	for _, name := range c.metaNames {
		if err := c.check(ctx, "meta."+name, whole(meta[name]), c.Meta[name]); err != nil {
			return err
		}
	}
	if c.OnlyMeta {
		for name := range meta {
			if _, ok := c.Meta[name]; !ok {
				return &chat.Error{Code: chat.CodeInvalid, Message: "meta holds a field that is not allowed", Field: "meta." + short(name)}
			}
		}
	}
	return nil
}

// whole makes an int64 of a number without fraction: rules such as oneof know
// whole numbers only.
func whole(v any) any {
	if f, ok := v.(float64); ok && f > -1<<53 && f < 1<<53 && f == float64(int64(f)) {
		return int64(f)
	}
	return v
}
