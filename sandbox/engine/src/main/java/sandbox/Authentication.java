package sandbox;

import org.camunda.bpm.engine.IdentityService;
import org.camunda.bpm.engine.identity.User;
import org.camunda.bpm.engine.rest.security.auth.ProcessEngineAuthenticationFilter;
import org.camunda.bpm.engine.rest.security.auth.impl.HttpBasicAuthenticationProvider;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.context.event.ApplicationReadyEvent;
import org.springframework.boot.web.servlet.FilterRegistrationBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.event.EventListener;

/** Basic authentication on the REST API, and a user without any right; only where {@code sandbox.authorization} is on. */
@Configuration
@ConditionalOnProperty("sandbox.authorization")
public class Authentication {

    private static final String GUEST = "guest";

    private final IdentityService identities;

    Authentication(IdentityService identities) {
        this.identities = identities;
    }

    /** The filter that Camunda's own distributions use. Cockpit has its own login. */
    @Bean
    FilterRegistrationBean<ProcessEngineAuthenticationFilter> basicAuthentication() {
        var registration = new FilterRegistrationBean<>(new ProcessEngineAuthenticationFilter());
        registration.addInitParameter("authentication-provider", HttpBasicAuthenticationProvider.class.getName());
        registration.addUrlPatterns("/engine-rest/*");
        return registration;
    }

    /** Creates the user without rights, once for each database. */
    @EventListener(ApplicationReadyEvent.class)
    void createGuest() {
        if (identities.createUserQuery().userId(GUEST).count() == 0) {
            User guest = identities.newUser(GUEST);
            guest.setPassword(GUEST);
            identities.saveUser(guest);
        }
    }
}
