package sandbox;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** A real Camunda 7 engine with its REST API and Cockpit; everything else is in application.yaml. */
@SpringBootApplication
public class Engine {

    public static void main(String[] args) {
        SpringApplication.run(Engine.class, args);
    }
}
