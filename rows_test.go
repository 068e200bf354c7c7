package tokenexchange_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// One test a row, so that go test -run D13 finds what is decided about chains that are carried on. What a decision or a
// form alone cannot show is in the tests beside this one, named after its rows too.

func TestD01_Decisions(t *testing.T) { decisionVectors(t, "D01") }
func TestD02_Decisions(t *testing.T) { decisionVectors(t, "D02") }
func TestD03_Decisions(t *testing.T) { decisionVectors(t, "D03") }
func TestD04_Decisions(t *testing.T) { decisionVectors(t, "D04") }
func TestD05_Decisions(t *testing.T) { decisionVectors(t, "D05") }
func TestD06_Decisions(t *testing.T) { decisionVectors(t, "D06") }
func TestD07_Decisions(t *testing.T) { decisionVectors(t, "D07") }
func TestD08_Decisions(t *testing.T) { decisionVectors(t, "D08") }
func TestD09_Decisions(t *testing.T) { decisionVectors(t, "D09") }
func TestD10_Decisions(t *testing.T) { decisionVectors(t, "D10") }
func TestD12_Decisions(t *testing.T) { decisionVectors(t, "D12") }
func TestD13_Decisions(t *testing.T) { decisionVectors(t, "D13") }
func TestD14_Decisions(t *testing.T) { decisionVectors(t, "D14") }
func TestD15_Decisions(t *testing.T) { decisionVectors(t, "D15") }
func TestD16_Decisions(t *testing.T) { decisionVectors(t, "D16") }
func TestD17_Decisions(t *testing.T) { decisionVectors(t, "D17") }
func TestD19_Decisions(t *testing.T) { decisionVectors(t, "D19") }
func TestD20_Decisions(t *testing.T) { decisionVectors(t, "D20") }
func TestD21_Decisions(t *testing.T) { decisionVectors(t, "D21") }
func TestD22_Decisions(t *testing.T) { decisionVectors(t, "D22") }
func TestD23_Decisions(t *testing.T) { decisionVectors(t, "D23") }
func TestD24_Decisions(t *testing.T) { decisionVectors(t, "D24") }
func TestD25_Decisions(t *testing.T) { decisionVectors(t, "D25") }
func TestD27_Decisions(t *testing.T) { decisionVectors(t, "D27") }
func TestD28_Decisions(t *testing.T) { decisionVectors(t, "D28") }
func TestD30_Decisions(t *testing.T) { decisionVectors(t, "D30") }
func TestI10_Decisions(t *testing.T) { decisionVectors(t, "I10") }
func TestR07_Decisions(t *testing.T) { decisionVectors(t, "R07") }
func TestR09_Decisions(t *testing.T) { decisionVectors(t, "R09") }
func TestR14_Decisions(t *testing.T) { decisionVectors(t, "R14") }
func TestR15_Decisions(t *testing.T) { decisionVectors(t, "R15") }

func TestI11_Requests(t *testing.T) { requestVectors(t, "I11") }
func TestR02_Requests(t *testing.T) { requestVectors(t, "R02") }
func TestR03_Requests(t *testing.T) { requestVectors(t, "R03") }
func TestR04_Requests(t *testing.T) { requestVectors(t, "R04") }
func TestR05_Requests(t *testing.T) { requestVectors(t, "R05") }
func TestR06_Requests(t *testing.T) { requestVectors(t, "R06") }
func TestR10_Requests(t *testing.T) { requestVectors(t, "R10") }

// TestVectors_AreAllRun: a vector of a row that has no test above would be a claim without proof.
func TestVectors_AreAllRun(t *testing.T) {
	decisions := []string{"D01", "D02", "D03", "D04", "D05", "D06", "D07", "D08", "D09", "D10", "D12", "D13", "D14", "D15", "D16", "D17", "D19", "D20", "D21", "D22", "D23", "D24", "D25", "D27", "D28", "D30", "I10", "R07", "R09", "R14", "R15"}
	requests := []string{"I11", "R02", "R03", "R04", "R05", "R06", "R10"}
	check := func(rows []string, vectors map[string]vector) {
		left := len(vectors)
		for _, row := range rows {
			left -= len(ofRow(t, row, vectors))
		}
		require.Zero(t, left, "vectors of other rows")
	}
	check(decisions, readDecisions(t))
	check(requests, readRequests(t))
}

// TestR05_TargetsOfARequest: audiences before resources, in the order of the request, and none twice.
func TestR05_TargetsOfARequest(t *testing.T) {
	r := tokenexchange.Request{Audience: []string{"b", "a", "b"}, Resource: []string{"urn:c", "a", "urn:b"}}
	require.Equal(t, []string{"b", "a", "urn:c", "urn:b"}, r.Targets())
	require.Nil(t, tokenexchange.Request{}.Targets())
}
