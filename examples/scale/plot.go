//go:build linux

package main

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// chart is a plot on the way to its file.
type chart struct {
	*plot.Plot
	title, subtitle, y string
}

// Colours that colour-blind readers can tell apart.
func blue() color.Color        { return color.NRGBA{0x00, 0x5a, 0xb5, 0xff} }
func orange() color.Color      { return color.NRGBA{0xd5, 0x5e, 0x00, 0xff} }
func green() color.Color       { return color.NRGBA{0x00, 0x8a, 0x5e, 0xff} }
func grey(y uint8) color.Color { return color.Gray{Y: y} }

// dashes are three ways to draw a line.
func dashes() [3][]vg.Length {
	return [...][]vg.Length{nil, {vg.Points(7), vg.Points(4)}, {vg.Points(1.5), vg.Points(3)}}
}

// serverStyle is how the lines of a server look.
type serverStyle struct {
	name  string
	color color.Color
}

func serverStyles() [2]serverStyle {
	return [...]serverStyle{{"Gabble", blue()}, {"bare write loop", orange()}}
}

func newChart(title, subtitle, x, y string) *chart {
	c := &chart{plot.New(), title, subtitle, y}
	c.X.Label.Text = x
	for _, s := range []*text.Style{&c.X.Label.TextStyle, &c.X.Tick.Label, &c.Y.Tick.Label, &c.Legend.TextStyle} {
		sans(s, 11)
	}
	for _, a := range []*plot.Axis{&c.X, &c.Y} {
		a.LineStyle.Color, a.Tick.LineStyle.Color = grey(0x70), grey(0x70)
		a.Label.Padding = vg.Points(6)
	}
	c.Legend.Top, c.Legend.Left = true, true
	c.Legend.XOffs, c.Legend.YOffs = vg.Points(12), vg.Points(-8)
	c.Legend.Padding, c.Legend.ThumbnailWidth = vg.Points(3), vg.Points(28)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = grey(0xe2), grey(0xe2)
	c.Add(grid)
	return c
}

func sans(s *text.Style, size float64) {
	s.Font.Typeface, s.Font.Variant, s.Font.Size = "Liberation", "Sans", vg.Points(size)
	s.Color = grey(0x22)
}

// line adds a series to the chart, with a mark at each point if there are few.
func (c *chart) line(name string, points plotter.XYs, col color.Color, dashes []vg.Length, marks bool) error {
	l, p, err := plotter.NewLinePoints(points)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l.LineStyle = draw.LineStyle{Color: col, Width: vg.Points(1.8), Dashes: dashes}
	p.GlyphStyle = draw.GlyphStyle{Color: col, Radius: vg.Points(2.8), Shape: draw.CircleGlyph{}}
	if !marks {
		c.Add(l)
		c.Legend.Add(name, l)
		return nil
	}
	c.Add(l, p)
	c.Legend.Add(name, l, p)
	return nil
}

// write draws the chart into a file of a directory, which it makes.
func (c *chart) write(dir, name string) error {
	const width, height = 780, 470
	canvas := vgsvg.New(vg.Points(width), vg.Points(height))
	dc := draw.New(canvas)
	dc.SetColor(color.White)
	dc.Fill(dc.Rectangle.Path())
	var style text.Style
	style.Handler, style.YAlign = c.Title.TextStyle.Handler, text.YTop
	at := vg.Point{X: vg.Points(14), Y: dc.Max.Y - vg.Points(12)}
	style.Font = font.From(plot.DefaultFont, 1)
	sans(&style, 15)
	style.Font.Weight = 2 // bold
	dc.FillText(style, at, c.title)
	sans(&style, 9.5)
	style.Font.Weight, style.Color = 0, grey(0x60)
	at.Y -= vg.Points(21)
	dc.FillText(style, at, c.subtitle)
	// The name of the y axis is above it, where nobody has to turn his head.
	sans(&style, 11)
	at.Y -= vg.Points(24)
	dc.FillText(style, at, c.y)
	c.BackgroundColor = color.White
	c.Draw(draw.Crop(dc, vg.Points(12), vg.Points(-22), vg.Points(12), vg.Points(-80)))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	_, err = io.Copy(file, &b)
	if e := file.Close(); err == nil {
		err = e
	}
	return err
}

// decades marks an axis of powers of ten at 1, 2 and 5 of each.
type decades struct{}

// Ticks implements [plot.Ticker].
func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for f := 1.0; f < 10; f++ {
			v := f * math.Pow(10, e)
			if v < low*0.999 || v > high*1.001 {
				continue
			}
			t := plot.Tick{Value: v}
			if f == 1 || f == 2 || f == 5 {
				t.Label = strconv.FormatFloat(v, 'g', 4, 64)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// nines marks an axis of quantiles, of which 99.9 % is one in 1000.
type nines struct{}

// Ticks implements [plot.Ticker].
func (nines) Ticks(low, high float64) (ticks []plot.Tick) {
	for _, oneIn := range []float64{1, 2, 4, 10, 100, 1e3, 1e4, 1e5, 1e6} {
		if oneIn >= low && oneIn <= high {
			ticks = append(ticks, plot.Tick{Value: oneIn, Label: strconv.FormatFloat(100-100/oneIn, 'f', -1, 64)})
		}
	}
	return ticks
}

// rounds marks a linear axis with about eight round numbers.
type rounds struct{}

// Ticks implements [plot.Ticker].
func (rounds) Ticks(low, high float64) (ticks []plot.Tick) {
	rough := (high - low) / 8
	if rough <= 0 {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, f := range []float64{2, 2.5, 2} { // 2, 5, 10
		if step < rough {
			step *= f
		}
	}
	for i := math.Ceil(low/step-1e-9) + 0; i*step <= high*1.000001; i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: strconv.FormatFloat(i*step, 'g', 8, 64)})
	}
	return ticks
}

// logY makes the y axis one of powers of ten that has room for all values, and
// above them for the legend.
func (c *chart) logY(series ...plotter.XYs) {
	low, high := math.Inf(1), 0.0
	for _, s := range series {
		for _, p := range s {
			low, high = min(low, p.Y), max(high, p.Y)
		}
	}
	steps := []float64{1, 2, 5, 10}
	floor := math.Pow(10, math.Floor(math.Log10(low)))
	i, _ := slices.BinarySearch(steps, low/floor*1.0001)
	c.Y.Min = floor * steps[max(i-1, 0)]
	c.Y.Max = high * math.Pow(high/c.Y.Min, 0.5)
	c.Y.Scale, c.Y.Tick.Marker = plot.LogScale{}, decades{}
}
