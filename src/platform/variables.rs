//! The environment variables that the package reads: one table, from which the documentation's page is generated. Rust code
//! names them by its constants. Those that only Python code or a library reads are in it as well; a test compares it with
//! the sources.

/// An environment variable.
#[derive(Debug)]
pub struct Variable {
    /// What it is about.
    pub section: Section,
    /// Its name; `*` stands for a part that varies.
    pub name: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// What applies while it is not set; empty if that goes without saying.
    pub default: &'static str,
    /// What reads it.
    pub reader: &'static str,
    /// Who defined it.
    pub source: &'static str,
}

/// What a variable is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The choice of a credential, and its settings.
    Credential,
    /// What hosts with managed identities set.
    ManagedIdentity,
    /// Requests to Entra ID.
    Network,
    /// This package's own settings.
    Package,
    /// Connections to PostgreSQL.
    PostgreSql,
    /// What Azure Service Connector sets.
    ServiceConnector,
    /// What systemd sets.
    Systemd,
    /// What the operating system, the user's shell or a terminal sets.
    System,
}

impl Section {
    /// Its title in the documentation.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Credential => "Credentials",
            Self::ManagedIdentity => "Managed identity",
            Self::Network => "Network",
            Self::Package => "This package",
            Self::PostgreSql => "PostgreSQL",
            Self::ServiceConnector => "Service Connector",
            Self::Systemd => "Systemd",
            Self::System => "Operating system",
        }
    }
}

/// Defines a constant for a name that is an identifier, because Rust code reads the variable; none for a literal.
macro_rules! constant {
    ($name:ident $(#[doc = $meaning:literal])+) => {
        $(#[doc = $meaning])+
        #[allow(non_upper_case_globals, reason = "Windows' own spelling")]
        pub const $name: &str = stringify!($name);
    };
    ($name:literal $(#[doc = $meaning:literal])+) => {};
}

macro_rules! name {
    ($name:ident) => {
        stringify!($name)
    };
    ($name:literal) => {
        $name
    };
}

/// Defines the table and the constants. The documentation of a variable is its meaning.
macro_rules! variables {
    ($($section:ident { $(
        $(#[doc = $meaning:literal])+
        variable $name:tt: $reader:literal, $source:literal, $default:literal;
    )+ })+) => {
        $($(constant! { $name $(#[doc = $meaning])+ })+)+

        /// All variables, in the order of the documentation.
        pub const VARIABLES: &[Variable] = &[$($(
            Variable {
                section: Section::$section,
                name: name!($name),
                meaning: concat!($($meaning),+),
                default: $default,
                reader: $reader,
                source: $source,
            },
        )+)+];
    };
}

// After each name: what reads it, who defined it, and what applies while it is not set.
variables! {
    Credential {
        /// The links of the default chain that are used: `prod` (environment, workload identity, managed identity),
        /// `dev` (Azure CLI, Azure PowerShell, Azure Developer CLI, and what `azure-identity` adds), or one
        /// credential's name, such as `ManagedIdentityCredential`. It is read when the credential object is made.
        variable AZURE_TOKEN_CREDENTIALS: "`DefaultAzureCredential`", "azure-identity", "all links";
        /// Tenant of a service principal or a workload identity.
        variable AZURE_TENANT_ID: "`EnvironmentCredential`, `WorkloadIdentityCredential`, doctor", "azure-identity", "";
        /// Client id of a service principal, a workload identity or a user-assigned managed identity.
        variable AZURE_CLIENT_ID:
            "`EnvironmentCredential`, `WorkloadIdentityCredential`, `DefaultAzureCredential`",
            "azure-identity",
            "for managed identities: the system-assigned one";
        /// Secret of the service principal.
        variable AZURE_CLIENT_SECRET: "`EnvironmentCredential`", "azure-identity", "";
        /// Certificate and private key of the service principal, PEM or PKCS#12; used where there is no secret.
        variable AZURE_CLIENT_CERTIFICATE_PATH: "`EnvironmentCredential`", "azure-identity", "";
        /// Password of that file.
        variable AZURE_CLIENT_CERTIFICATE_PASSWORD: "`EnvironmentCredential`", "azure-identity", "";
        /// Sends the certificate's chain along, for authentication by subject name and issuer; `0` and `false` do not.
        variable AZURE_CLIENT_SEND_CERTIFICATE_CHAIN: "`EnvironmentCredential`", "azure-identity", "`false`";
        /// File with the service account's token; the workload identity webhook sets it in Kubernetes.
        variable AZURE_FEDERATED_TOKEN_FILE:
            "`WorkloadIdentityCredential`, `ManagedIdentityCredential`, `service_connector`", "azure-identity", "";
        /// The Entra ID authority that issues the tokens. It also chooses the cloud whose scope is used where no
        /// server's name tells it.
        variable AZURE_AUTHORITY_HOST: "credentials, doctor", "azure-identity", "`login.microsoftonline.com`";
    }
    ManagedIdentity {
        /// Where tokens are requested.
        variable IDENTITY_ENDPOINT:
            "`ManagedIdentityCredential`, doctor",
            "App Service, Functions, Container Apps, Automation; Service Fabric; Azure Arc",
            "";
        /// The secret that a request has to carry.
        variable IDENTITY_HEADER:
            "`ManagedIdentityCredential`", "App Service, Functions, Container Apps, Automation; Service Fabric", "";
        /// Thumbprint of the certificate that the endpoint presents.
        variable IDENTITY_SERVER_THUMBPRINT: "`ManagedIdentityCredential`", "Service Fabric", "";
        /// Says that the machine runs Azure Arc's agent; its value is not used.
        variable IMDS_ENDPOINT: "`ManagedIdentityCredential`", "Azure Arc", "";
        /// Where tokens are requested.
        variable MSI_ENDPOINT: "`ManagedIdentityCredential`", "Azure Machine Learning, Cloud Shell", "";
        /// The secret that a request has to carry.
        variable MSI_SECRET: "`ManagedIdentityCredential`", "Azure Machine Learning", "";
        /// Address of the metadata service.
        variable AZURE_POD_IDENTITY_AUTHORITY_HOST:
            "`ManagedIdentityCredential`, doctor", "azure-identity", "`http://169.254.169.254`";
        /// Where the running job's token is requested.
        variable SYSTEM_OIDCREQUESTURI: "`AzurePipelinesCredential`", "Azure Pipelines", "";
    }
    Network {
        /// URL of the HTTP proxy for requests to Entra ID; also in lower case.
        variable HTTPS_PROXY: "HTTP client", "curl", "";
        /// The same, where that is not set; also in lower case.
        variable ALL_PROXY: "HTTP client", "curl", "";
        /// Hosts that are reached without a proxy, separated by commas; also in lower case.
        variable NO_PROXY: "HTTP client", "curl", "";
        /// File with the certification authorities to trust, in PEM.
        variable SSL_CERT_FILE: "HTTP client", "OpenSSL", "the operating system's authorities";
        /// Directories with such files.
        variable SSL_CERT_DIR: "HTTP client", "OpenSSL", "the operating system's authorities";
        /// The same, file or directory, where neither of the two above is set.
        variable REQUESTS_CA_BUNDLE: "HTTP client", "requests", "the operating system's authorities";
        /// The same, where none of the three above is set.
        variable CURL_CA_BUNDLE: "HTTP client", "requests", "the operating system's authorities";
    }
    Package {
        /// Absolute path of a folder in which the processes of one user share tokens.
        variable AZURE_POSTGRESQL_AUTH_CACHE_DIR: "engine", "this package", "tokens are not shared";
        /// Servers that the SQLAlchemy plugin may log in to, separated by commas, each with its port where that is
        /// neither 5432 nor 6432.
        variable "AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS": "SQLAlchemy plugin", "this package", "none";
        /// An option of the proxy: `AZURE_POSTGRESQL_AUTH_PROXY_LISTEN` for `--listen` and so on,
        /// `AZURE_POSTGRESQL_AUTH_PROXY_SERVERS` for the servers.
        variable "AZURE_POSTGRESQL_AUTH_PROXY_*": "proxy", "this package", "the option's";
    }
    PostgreSql {
        /// Hosts to connect to.
        variable PGHOST: "libpq, asyncpg, command line", "libpq", "";
        /// Their addresses.
        variable PGHOSTADDR: "libpq", "libpq", "";
        /// Their ports.
        variable PGPORT: "libpq, asyncpg", "libpq", "5432";
        /// The database.
        variable PGDATABASE: "libpq, asyncpg, command line", "libpq", "named like the role";
        /// The role.
        variable PGUSER: "libpq, asyncpg, pg8000, command line", "libpq", "the token's";
        /// How TLS protects the connection.
        variable PGSSLMODE:
            "libpq, asyncpg, pg8000, command line",
            "libpq",
            "`verify-full` for Azure's servers, at least `require` for other machines";
        /// Roots that the server's certificate may lead to.
        variable PGSSLROOTCERT: "libpq, asyncpg, pg8000, command line", "libpq", "Azure's, for its servers";
        /// Whether GSSAPI encrypts the connection.
        variable PGGSSENCMODE: "libpq", "libpq", "`disable` where the token travels under TLS";
        /// The section of a service file.
        variable PGSERVICE: "libpq", "libpq", "";
        /// The user's service file.
        variable PGSERVICEFILE:
            "libpq, asyncpg",
            "libpq",
            "`.pg_service.conf` in `HOME`, on Windows in libpq's folder of the user's profile";
        /// Directory of the machine's service file, `pg_service.conf`.
        variable PGSYSCONFDIR: "libpq", "libpq", "chosen when libpq is built";
        /// Seconds for token and connection together.
        variable PGCONNECT_TIMEOUT: "libpq", "libpq", "30 for the token";
        /// Not used: where no password is given in code or in the connection string, the token is the password.
        variable "PGPASSWORD": "none", "libpq", "";
        /// Not used, for the same reason.
        variable "PGPASSFILE": "none", "libpq", "";
    }
    ServiceConnector {
        /// Client type Python: a connection string.
        variable "AZURE_POSTGRESQL_CONNECTIONSTRING": "`service_connector`", "Service Connector", "";
        /// The same under "Connection strings" of App Service.
        variable "POSTGRESQLCONNSTR_AZURE_POSTGRESQL_CONNECTIONSTRING": "`service_connector`", "App Service", "";
        /// Client types Django and none: the server.
        variable "AZURE_POSTGRESQL_HOST": "`service_connector`", "Service Connector", "";
        /// Client type Django: the database.
        variable "AZURE_POSTGRESQL_NAME": "`service_connector`", "Service Connector", "";
        /// Client type Django: the role.
        variable "AZURE_POSTGRESQL_USER": "`service_connector`", "Service Connector", "";
        /// Client type none: the port.
        variable "AZURE_POSTGRESQL_PORT": "`service_connector`", "Service Connector", "";
        /// Client type none: the database.
        variable "AZURE_POSTGRESQL_DATABASE": "`service_connector`", "Service Connector", "";
        /// Client type none: the role.
        variable "AZURE_POSTGRESQL_USERNAME": "`service_connector`", "Service Connector", "";
        /// Client type none: whether the connection uses TLS, `true` or `false`.
        variable "AZURE_POSTGRESQL_SSL": "`service_connector`", "Service Connector", "";
        /// Client id of the identity that the connection was created for.
        variable "AZURE_POSTGRESQL_CLIENTID":
            "`service_connector`", "Service Connector", "the system-assigned identity";
        /// Secret of that identity, if it is a service principal.
        variable "AZURE_POSTGRESQL_CLIENTSECRET": "`service_connector`", "Service Connector", "";
        /// Tenant of that identity, if it is a service principal or a workload identity.
        variable "AZURE_POSTGRESQL_TENANTID": "`service_connector`", "Service Connector", "";
        /// Password of a login without tokens.
        variable "AZURE_POSTGRESQL_PASSWORD": "`service_connector`", "Service Connector", "";
    }
    Systemd {
        /// How many sockets systemd passes to the process.
        variable "LISTEN_FDS": "proxy", "`sd_listen_fds(3)`", "";
        /// The process that they are for.
        variable "LISTEN_PID": "proxy", "`sd_listen_fds(3)`", "";
        /// Their names.
        variable "LISTEN_FDNAMES": "proxy", "`sd_listen_fds(3)`", "";
        /// Where the proxy reports that it is ready.
        variable "NOTIFY_SOCKET": "proxy", "`sd_notify(3)`", "";
    }
    System {
        /// Directories with the programs to run: `az`, `azd`, `pwsh`, PgBouncer and so on.
        variable PATH: "developer tools, command line", "the operating system", "";
        /// The user's home directory.
        variable HOME: "libpq's service files", "Unix", "the user database's";
        /// The folder for data of all users, where Azure Arc's agent puts its keys.
        variable ProgramData: "`ManagedIdentityCredential`", "Windows", "";
        /// The folder of the system, in which developer tools are run.
        variable SystemRoot: "developer tools", "Windows", "the folder for temporary files";
        /// If set, messages have no colours.
        variable "NO_COLOR": "command line", "no-color.org", "";
        /// If it is `dumb`, messages have no colours.
        variable "TERM": "command line", "the terminal", "";
    }
}
