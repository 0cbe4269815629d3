package middleware_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/middleware"
	"github.com/go-playground/validator/v10"
	"github.com/stretchr/testify/require"
)

var rules = middleware.Rules{
	Content:  "max=5,excludesall=<>",
	Mentions: "max=2,unique,dive,max=8",
	Meta: map[string]string{
		"priority": "omitempty,oneof=low high",
		"level":    "omitempty,oneof=1 2 3",
		"score":    "omitempty,gte=0,lte=1",
		"tags":     "omitempty,max=2,dive,alpha",
	},
	Attachments: "max=2",
	Attachment:  map[string]string{"url": "startswith=https://", "type": "omitempty,oneof=image/png image/jpeg", "size": "gt=0,max=1000"},
}

func TestValidate(t *testing.T) {
	h := middleware.Validate(rules)(answer(nil))
	file := chat.Attachment{URL: "https://x/a.png", Type: "image/png", Size: 10}
	with := func(change func(*chat.Attachment)) []chat.Attachment {
		bad := file
		change(&bad)
		return []chat.Attachment{file, bad}
	}
	for name, c := range map[string]struct {
		cmd     chat.Command
		field   string // empty: passes
		message string
	}{
		"nothing":        {cmd: chat.Command{}},
		"text":           {cmd: chat.Command{Content: "hello"}},
		"five runes":     {cmd: chat.Command{Content: "ééééé"}},
		"too long":       {chat.Command{Content: "hello!"}, "content", `content breaks the rule "max=5"`},
		"angle":          {chat.Command{Content: "<b>"}, "content", `content breaks the rule "excludesall=<>"`},
		"mentions":       {cmd: chat.Command{Mentions: []string{"bob", "carol"}}},
		"many mentions":  {chat.Command{Mentions: []string{"a", "b", "c"}}, "mentions", `mentions breaks the rule "max=2"`},
		"twice":          {chat.Command{Mentions: []string{"a", "a"}}, "mentions", `mentions breaks the rule "unique"`},
		"long mention":   {chat.Command{Mentions: []string{"abcdefghi"}}, "mentions", `mentions breaks the rule "max=8"`},
		"meta":           {cmd: chat.Command{Meta: json.RawMessage(`{"priority":"low","level":3,"score":0.5,"tags":["a"],"other":{}}`)}},
		"empty meta":     {cmd: chat.Command{Meta: json.RawMessage(`{}`)}},
		"null meta":      {cmd: chat.Command{Meta: json.RawMessage(`null`)}},
		"null in meta":   {cmd: chat.Command{Meta: json.RawMessage(`{"priority":null}`)}},
		"level 3.0":      {cmd: chat.Command{Meta: json.RawMessage(`{"level":3.0}`)}},
		"bad priority":   {chat.Command{Meta: json.RawMessage(`{"priority":"urgent"}`)}, "meta.priority", `meta.priority breaks the rule "oneof=low high"`},
		"bad level":      {chat.Command{Meta: json.RawMessage(`{"level":4}`)}, "meta.level", `meta.level breaks the rule "oneof=1 2 3"`},
		"bad score":      {chat.Command{Meta: json.RawMessage(`{"score":1.5}`)}, "meta.score", `meta.score breaks the rule "lte=1"`},
		"huge score":     {chat.Command{Meta: json.RawMessage(`{"score":1e300}`)}, "meta.score", `meta.score breaks the rule "lte=1"`},
		"many tags":      {chat.Command{Meta: json.RawMessage(`{"tags":["a","b","c"]}`)}, "meta.tags", `meta.tags breaks the rule "max=2"`},
		"bad tag":        {chat.Command{Meta: json.RawMessage(`{"tags":["a1"]}`)}, "meta.tags", `meta.tags breaks the rule "alpha"`},
		"file":           {cmd: chat.Command{Attachments: []chat.Attachment{file, file}}},
		"many files":     {chat.Command{Attachments: []chat.Attachment{file, file, file}}, "attachments", `attachments breaks the rule "max=2"`},
		"bad URL":        {chat.Command{Attachments: with(func(a *chat.Attachment) { a.URL = "javascript:x" })}, "attachments[1].url", `attachments[1].url breaks the rule "startswith=https://"`},
		"bad type":       {chat.Command{Attachments: with(func(a *chat.Attachment) { a.Type = "text/html" })}, "attachments[1].type", `attachments[1].type breaks the rule "oneof=image/png image/jpeg"`},
		"too big":        {chat.Command{Attachments: with(func(a *chat.Attachment) { a.Size = 1001 })}, "attachments[1].size", `attachments[1].size breaks the rule "max=1000"`},
		"negative":       {chat.Command{Attachments: with(func(a *chat.Attachment) { a.Size = -1 })}, "attachments[1].size", `attachments[1].size breaks the rule "gt=0"`},
		"other commands": {cmd: chat.Command{Type: chat.CmdJoin, Content: "far too long"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.cmd.Type == "" {
				c.cmd.Type = chat.CmdMessage
			}
			var r reached
			err := middleware.Validate(rules)(r.handle)(t.Context(), &c.cmd)
			if c.field == "" {
				require.NoError(t, err)
				require.Equal(t, 1, r.n)
				return
			}
			e := requireCode(t, chat.CodeInvalid, err)
			require.Equal(t, c.field, e.Field)
			require.Equal(t, c.message, e.Message)
			require.Zero(t, r.n)
		})
	}
	edit := &chat.Command{Type: chat.CmdEdit, Content: "hello!"}
	requireCode(t, chat.CodeInvalid, h(t.Context(), edit))
	edit.Content = "hello"
	require.NoError(t, h(t.Context(), edit))
}

// In meta the client chooses the types, also ones that make a validator panic.
func TestValidateHostileMeta(t *testing.T) {
	h := middleware.Validate(middleware.Rules{Meta: map[string]string{"p": "required,max=3"}})(answer(nil))
	for meta, field := range map[string]string{
		`{"p":true}`:                     "meta.p",
		`{"p":{"a":{"b":[1,2,3,4]}}}`:    "",
		`{"p":[1,2,3,4]}`:                "meta.p",
		`{"p":4}`:                        "meta.p",
		`{"p":3.5}`:                      "meta.p",
		`{"p":""}`:                       "meta.p",
		`{"p":null}`:                     "meta.p",
		`{}`:                             "meta.p",
		`{"P":"abc"}`:                    "meta.p", // names are case-sensitive
		``:                               "meta.p",
		`[]`:                             "meta",
		`"p"`:                            "meta",
		`{"p":"abc"`:                     "meta",
		`{"p":"abc"}x`:                   "meta",
		`{"p":"abc","p":"far too long"}`: "meta", // whoever reads it next may take the last
		"{\"p\":\"a\xff\"}":              "meta",
		strings.Repeat(`{"p":`, 20_000):  "meta",
		`{"p":"abc"}`:                    "",
	} {
		err := h(t.Context(), &chat.Command{Type: chat.CmdMessage, Meta: json.RawMessage(meta)})
		if field == "" {
			require.NoError(t, err, meta)
			continue
		}
		e := requireCode(t, chat.CodeInvalid, err)
		require.Equal(t, field, e.Field, "%.40s", meta)
		require.NotContains(t, e.Message, "Bad field type")
	}
}

func TestValidateOnlyMeta(t *testing.T) {
	h := middleware.Validate(middleware.Rules{OnlyMeta: true, Meta: map[string]string{"p": "omitempty,max=3", "free": ""}})(answer(nil))
	require.NoError(t, h(t.Context(), &chat.Command{Type: chat.CmdMessage, Meta: json.RawMessage(`{"p":"abc","free":[1]}`)}))
	require.NoError(t, h(t.Context(), &chat.Command{Type: chat.CmdMessage}))
	e := requireCode(t, chat.CodeInvalid, h(t.Context(), &chat.Command{Type: chat.CmdMessage, Meta: json.RawMessage(`{"p":"abc","q":1}`)}))
	require.Equal(t, "meta.q", e.Field)
	h = middleware.Validate(middleware.Rules{OnlyMeta: true})(answer(nil))
	requireCode(t, chat.CodeInvalid, h(t.Context(), &chat.Command{Type: chat.CmdMessage, Meta: json.RawMessage(`{"q":1}`)}))
}

func TestValidateWithoutRules(t *testing.T) {
	h := middleware.Validate(middleware.Rules{})(answer(nil))
	require.NoError(t, h(t.Context(), &chat.Command{Type: chat.CmdMessage, Content: strings.Repeat("x", 1<<16), Meta: json.RawMessage(`not even JSON`)}))
}

func TestValidateMistakes(t *testing.T) {
	for want, r := range map[string]middleware.Rules{
		`Rules.Content: "max=500,nosuchtag": Undefined validation function 'nosuchtag'`: {Content: "max=500,nosuchtag"},
		`Rules.Content: "max=abc"`:                  {Content: "max=abc"},
		`Rules.Content: "min=100,max=abc"`:          {Content: "min=100,max=abc"}, // the sample breaks min
		`Rules.Content: "omitempty,max=abc"`:        {Content: "omitempty,max=abc"},
		`Rules.Content: "max=5,"`:                   {Content: "max=5,"},
		`Rules.Mentions: "dive,max=abc"`:            {Mentions: "dive,max=abc"},
		`Rules.Attachments: "max=few"`:              {Attachments: "max=few"},
		`Rules.Attachment: there is no field "uri"`: {Attachment: map[string]string{"uri": "url"}},
		`Rules.Attachment["size"]: "max=1MB"`:       {Attachment: map[string]string{"size": "max=1MB"}},
		`Rules.Meta["p"]: "omitempty,max=abc"`:      {Meta: map[string]string{"p": "omitempty,max=abc"}},
		`Rules.Meta["p"]: "omitempty,nosuchtag"`:    {Meta: map[string]string{"p": "omitempty,nosuchtag"}},
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				message, _ := recover().(string)
				require.Contains(t, message, "middleware: "+want)
			}()
			middleware.Validate(r)
		})
	}
}

func TestValidateWithTagsOfTheHost(t *testing.T) {
	v := validator.New()
	require.NoError(t, v.RegisterValidation("polite", func(fl validator.FieldLevel) bool { return strings.HasSuffix(fl.Field().String(), "please") }))
	h := middleware.Validate(middleware.Rules{Content: "polite", Validator: v})(answer(nil))
	require.NoError(t, h(t.Context(), &chat.Command{Type: chat.CmdMessage, Content: "tea, please"}))
	requireCode(t, chat.CodeInvalid, h(t.Context(), &chat.Command{Type: chat.CmdMessage, Content: "tea!"}))
}

func TestValidateKeepsItsRules(t *testing.T) {
	meta := map[string]string{"p": "required"}
	h := middleware.Validate(middleware.Rules{Meta: meta})(answer(nil))
	delete(meta, "p")
	requireCode(t, chat.CodeInvalid, h(t.Context(), &chat.Command{Type: chat.CmdMessage}))
}

func TestValidateConcurrently(t *testing.T) {
	h := middleware.Validate(rules)(answer(nil))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				good := &chat.Command{Type: chat.CmdMessage, Content: "hello", Meta: json.RawMessage(`{"level":1}`)}
				bad := &chat.Command{Type: chat.CmdMessage, Content: "hello", Meta: json.RawMessage(`{"level":4}`)}
				if h(t.Context(), good) != nil || h(t.Context(), bad) == nil {
					t.Error("rules mixed up")
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkValidate(b *testing.B) {
	h := middleware.Validate(rules)(answer(nil))
	cmd := &chat.Command{Type: chat.CmdMessage, Content: "hello", Meta: json.RawMessage(`{"priority":"low"}`)}
	b.ReportAllocs()
	for b.Loop() {
		if err := h(b.Context(), cmd); err != nil {
			b.Fatal(err)
		}
	}
}
