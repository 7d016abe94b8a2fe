package bench;

import org.camunda.bpm.client.ExternalTaskClient;
import org.camunda.bpm.client.ExternalTaskClientBuilder;

/** The Java client. BENCH_TUNED=1: larger batches; else its defaults (10 tasks, a growing pause after an empty poll). */
public final class Client {

  private Client() {}

  public static void main(String[] arguments) {
    ExternalTaskClientBuilder builder = ExternalTaskClient.create().baseUrl(System.getenv("BENCH_ENGINE"));
    if ("1".equals(System.getenv("BENCH_TUNED"))) {
      builder.maxTasks(Integer.parseInt(System.getenv().getOrDefault("BENCH_BATCH", "50"))).asyncResponseTimeout(10_000);
    }
    builder
        .build()
        .subscribe(System.getenv("BENCH_TOPIC"))
        .lockDuration(60_000)
        .handler((task, service) -> service.complete(task))
        .open();
  }
}
