package contactgate

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutant is a rule of security.md taken out of the source. The test that guards it has to find that: go red, by what it
// holds against the promise.
type mutant struct {
	// rule is what is taken out: in file, old becomes new.
	rule, file, old, new string
	// tests are NAME of FOLDER: each has to go red.
	tests []string
}

// The rules that keep what people were told while Redis is in trouble.
var mutants = []mutant{
	{"WAIT where a confirmation is promised", "internal/store/rediswires.go", "if !r.copies.expected(ctx, s.client) {", "if true {", []string{
		"TestWriteWithoutACopyIsNotConfirmed internal/store", "TestFailoverLosesNothingThatWasConfirmed internal/store", "TestClusterMasterDies internal/store"}},
	{"WAIT where nothing is written, and something is told", "internal/store/redis.go", "if !r.copies.expected(ctx, s.client) {", "if true {", []string{
		"TestWriteWithoutACopyIsNotConfirmed internal/store"}},
	{"a write whose answer was lost is not done anew", "internal/store/redis.go", `"changed" && lost:
			return errUnknown`, `"changed" && lost:
			return errChanged`, []string{
		"TestLostAnswerWithAnotherWriterIsNoSecondWrite internal/store", "TestHistoriesWithLostAnswersAreLinearizable internal/store"}},
	{"a write whose answer was lost is known by its mark", "internal/store/redisrecord.go", "if mark ~= old and mark ~= new then", "if mark ~= old then", []string{
		"TestLostAnswerIsNoSecondWrite internal/store"}},
	{"a write is of the version that was read", "internal/store/redisrecord.go", "if mark ~= old and mark ~= new then", "if false then", []string{
		"TestRedisHistoriesAreLinearizable internal/store", "TestTwoBeginAStoreAtOnce internal/store", "TestTwoNodesAreOneGate internal/verify"}},
	{"a write is of the store that was read", "internal/store/redisrecord.go", "if not now or string.sub(now, 1, 16) ~= epoch then return 'other store' end", "if not now then now = epoch .. '0' end", []string{
		"TestWriteIntoAnEmptiedStoreIsRefused internal/store"}},
	{"a store that was emptied is another one", "internal/store/redisepoch.go", "news := !r.other && r.epoch == epoch", "news := false", []string{
		"TestEmptiedStoreIsNoticedByItself internal/store"}},
	{"a record that was evicted is not begun anew", "internal/store/redisrecord.go", "then return 'gone' end", "then end", []string{
		"TestEvictedRecordIsNotBegunAnew internal/store"}},
	{"a part without its index is lost", "internal/store/redisrecord.go", "redis.call('EXISTS', keys) == 0 then", "false then", []string{
		"TestPartWithoutItsIndexIsLost internal/store"}},
	{"a Redis that evicts is not used", "internal/store/redisfitness.go", `f["maxmemory_policy"] != "" && f["maxmemory_policy"] != "noeviction"`, "false", []string{
		"TestEvictionPolicySetLaterIsNoticed internal/store", "TestRedisThatMustNotBeUsedIsRefused caddymodule"}},
	{"scripts that were forgotten are sent again", "internal/store/rediswires.go", `redis.HasErrorPrefix(err, "NOSCRIPT")`, "false", []string{
		"TestScriptsThatWereForgottenAreSentAgain internal/store"}},
	{"an answer belongs to its question", "internal/store/redisrecord.go", "if !strings.HasPrefix(rest, key) || length != len(key) {", "if false && (!strings.HasPrefix(rest, key) || length != len(key)) {", []string{
		"TestAnswerToAnotherQuestionIsNotBelieved internal/store"}},
	{"a replica is not read", "internal/store/redistend.go", "	case demoted:", "	case false:", []string{
		"TestReplicaIsNotRead internal/store"}},
	{"a server that is away is not asked by everybody", "internal/store/rediswires.go", "if b.failures < awayAfter {", "if true {", []string{
		"TestHangingRedisKeepsNobodyWaiting internal/store", "TestServerThatIsAwayIsProbedNotFlooded internal/store"}},
	{"a server that was away is asked again", "internal/store/rediswires.go", "if now.Before(b.probe) {", "if true {", []string{
		"TestKilledRedisLosesNothing internal/store"}},
	{"connections have an end", "internal/store/rediswires.go", "mostWires = 64", "mostWires = 6400", []string{
		"TestServerThatIsBackIsNotStormed internal/store"}},
	{"changes are counted", "internal/store/redistend.go", "if r.changes.missed(counts) {", "if r.changes.missed(counts) && false {", []string{
		"TestChangeIsNoticedWithoutMessages internal/verify"}},
	{"a slot that moves is followed", "internal/store/rediswires.go", "if address, ok := redis.IsAskError(err); ok {", "if address, ok := redis.IsAskError(err); ok && false {", []string{
		"TestSlotMovesUnderLoad internal/store"}},
	{"a node has the keys of the store", "internal/verify/storeid.go", "inStore.Ring != own {", "inStore.Ring != own && false {", []string{
		"TestARingOfAnotherStoreIsRefusedAndBothAreNamed internal/verify", "TestNodeWithAnotherRingDoesNotStart caddymodule"}},
	{"an emptied store is not ready", "internal/verify/storeid.go", "no = f.compare(inStore, remembered)", "no = nil", []string{
		"TestAnEmptiedStoreIsNotReady internal/verify", "TestEmptiedRedisIsNotUsed internal/verify"}},
	{"one line tells of an outage", "internal/verify/trouble.go", "case f.trouble.begins(time.Now()):", "case f.trouble.begins(time.Now()) || true:", []string{
		"TestOutageOfTheStoreIsSaidOnce internal/verify"}},
}

// What is to be taken out is where it is said to be, and so are the tests.
func TestMutantsFit(t *testing.T) {
	for _, m := range mutants {
		if n := strings.Count(source(t, m.file), m.old); n != 1 {
			t.Errorf("%s: %q is %d times in %s", m.rule, m.old, n, m.file)
		}
		for _, test := range m.tests {
			name, folder, _ := strings.Cut(test, " ")
			files, _ := filepath.Glob(filepath.Join(folder, "*_test.go"))
			found := false
			for _, file := range files {
				found = found || strings.Contains(source(t, file), "func "+name+"(t *testing.T)")
			}
			if !found {
				t.Errorf("%s: there is no %s", m.rule, test)
			}
		}
	}
}

func source(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestMutants takes out each rule by itself and runs its tests: make mutants, and make soak. A fault that comes at random
// gets a few tries to do its harm.
func TestMutants(t *testing.T) {
	if os.Getenv("CONTACTGATE_MUTANTS") == "" {
		t.Skip("set CONTACTGATE_MUTANTS=1: make mutants does")
	}
	for _, m := range mutants {
		t.Run(m.rule, func(t *testing.T) {
			overlay := m.overlay(t)
			for _, test := range m.tests {
				name, folder, _ := strings.Cut(test, " ")
				red, out := false, ""
				for try := 0; try < 3 && !red; try++ {
					red, out = runMutant(overlay, name, folder)
				}
				if !red {
					t.Errorf("%s does not notice:\n%s", name, out)
				}
			}
		})
	}
}

// overlay is for the go command: it reads the changed file in place of the one that is there.
func (m mutant) overlay(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	changed, overlay := filepath.Join(folder, filepath.Base(m.file)), filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(changed, []byte(strings.Replace(source(t, m.file), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{here: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// runMutant tells whether a test failed. One that does not build, or did not run, has noticed nothing.
func runMutant(overlay, name, folder string) (red bool, said string) {
	cmd := exec.Command("go", "test", "-overlay", overlay, "-vet=off", "-count=1", "-timeout=3m", "-run", "^"+name+"$", "./"+folder)
	cmd.Env = append(os.Environ(), "CONTACTGATE_REDIS=1", "CONTACTGATE_MUTANTS=", "CONTACTGATE_MASTER_KILLS=1", "CONTACTGATE_HISTORIES=20")
	out, err := cmd.CombinedOutput()
	return err != nil && strings.Contains(string(out), "--- FAIL: "+name), string(out)
}
