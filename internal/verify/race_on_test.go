//go:build race

package verify

// raceEnabled makes big counts smaller: the race detector takes ten times as long.
const raceEnabled = true
