// A customer's program: it knows the API only by the package that oapi-codegen made from the document.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"landlord.test/smoke/landlord"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	url, token := os.Args[1], os.Args[2]
	bearer := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	client := must(landlord.NewClientWithResponses(url, landlord.WithRequestEditorFn(bearer)))
	here := context.Background()

	labels := map[string]string{"tier": "gold"}
	config := map[string]interface{}{"image": "web:1"}
	body := landlord.TenantCreate{
		Name:   "from-go",
		Labels: &labels,
		Spec:   landlord.TenantSpec{Compute: landlord.ComputeSpec{Provider: "cloud", Config: &config}},
	}
	made := must(client.CreateTenantWithResponse(here, nil, body))
	read := must(client.GetTenantWithResponse(here, "from-go"))
	missing := must(client.GetTenantWithResponse(here, "nobody"))

	told := map[string]any{
		"execution": made.JSON202.WorkflowExecutionId,
		"tier":      read.JSON200.Labels["tier"],
		"code":      missing.ApplicationproblemJSON404.Code,
	}
	fmt.Println(string(must(json.Marshal(told))))
}
