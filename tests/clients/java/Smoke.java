// A customer's program: it knows the API only by the classes that openapi-generator made from the document.
import java.net.http.HttpClient;
import java.util.HashMap;
import java.util.Map;
import landlord.ApiClient;
import landlord.ApiException;
import landlord.api.TenantsApi;
import landlord.model.ComputeSpec;
import landlord.model.TenantCreate;
import landlord.model.TenantOut;
import landlord.model.TenantPatch;
import landlord.model.TenantSpec;

public class Smoke {
  public static void main(String[] arguments) throws Exception {
    ApiClient client = new ApiClient();
    // Its own choice is HTTP/2, which it offers in a request's first lines; a server without it may then miss the body.
    client.setHttpClientBuilder(HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1));
    client.updateBaseUri(arguments[0]);
    client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + arguments[1]));
    TenantsApi tenants = new TenantsApi(client);

    TenantCreate body = new TenantCreate()
        .name("from-java")
        .labels(Map.of("tier", "gold"))
        .spec(new TenantSpec().compute(new ComputeSpec().provider("cloud").config(Map.of("image", "web:1"))));
    // A change answers with a tenant or, for a dry run, with a plan. The generator does not tell them apart: read again.
    tenants.createTenant(body, null, null, null, null);
    TenantOut read = tenants.getTenant("from-java");
    String execution = read.getWorkflowExecutionId();

    Map<String, String> labels = new HashMap<>();
    labels.put("tier", null);
    labels.put("team", "blue");
    tenants.updateTenant("from-java", new TenantPatch().labels(labels), null, null, null, null);
    TenantOut patched = tenants.getTenant("from-java");

    int code = 0;
    try {
      tenants.getTenant("nobody");
    } catch (ApiException refused) {
      code = refused.getCode();
    }
    System.out.printf(
        "{\"execution\": \"%s\", \"tier\": \"%s\", \"labels\": \"%s\", \"code\": %d}%n",
        execution, read.getLabels().get("tier"), patched.getLabels(), code);
  }
}
