package api_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLists(t *testing.T) {
	t.Parallel()
	_, management := newSite(t).tenant("Loyal")
	for i := range 23 {
		status := "active"
		if i%2 == 1 {
			status = "paused"
		}
		management.made("/api/v1/partners", map[string]any{"name": fmt.Sprintf("Partner %02d", i), "status": status})
	}
	list := func(query string) (p page[partner]) {
		management.get("/api/v1/partners?"+query).into(200, &p)
		return p
	}
	t.Run("pages", func(t *testing.T) {
		first := list("")
		require.Equal(t, []int{0, 0, 10, 23, 3}, []int{first.IndexFrom, first.PageIndex, first.PageSize, first.TotalCount, first.TotalPages})
		require.Equal(t, "Partner 22", first.Items[0].Name) // newest first
		require.Len(t, list("page=2").Items, 3)
		require.Empty(t, list("page=9").Items)
		require.Len(t, list("page_size=100").Items, 23)
		seen := map[string]bool{}
		for i := range 8 {
			for _, item := range list(fmt.Sprintf("page=%d&page_size=3&orderby=status", i)).Items {
				require.False(t, seen[item.ID], "pages overlap")
				seen[item.ID] = true
			}
		}
		require.Len(t, seen, 23)
	})
	t.Run("order", func(t *testing.T) {
		require.Equal(t, "Partner 00", list("orderby=name&order_asc=true").Items[0].Name)
		require.Equal(t, "Partner 22", list("orderby=Name").Items[0].Name)
	})
	t.Run("filters", func(t *testing.T) {
		require.Equal(t, 11, list("filter.Status=paused").TotalCount)
		require.Equal(t, 23, list("filter.status=paused&filter.status=active").TotalCount)
		require.Equal(t, 5, list("filter.status=active&filter.name="+url.QueryEscape("partner 0")).TotalCount)
		require.Zero(t, list("filter.name=%25").TotalCount)
		require.Zero(t, list("filter.name=%00").TotalCount)
		require.Equal(t, 1, list("filter.id="+list("").Items[4].ID).TotalCount)
	})
	t.Run("refused", func(t *testing.T) {
		for query, field := range map[string]string{
			"page=-1": "page", "page=x": "page", "page_size=0": "page_size", "page_size=101": "page_size", "order_asc=maybe": "order_asc",
			"orderby=secret": "orderby", "filter.secret=1": "filter.secret", "filter.id=7": "filter.id", "filter.createdAt=soon": "filter.createdAt",
			"orderby=" + url.QueryEscape("name; DROP TABLE partners"): "orderby",
		} {
			management.get("/api/v1/partners?"+query).refused(400, field)
		}
	})
}
