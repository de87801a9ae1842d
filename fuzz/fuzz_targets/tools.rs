#![no_main]

azure_postgresql_auth_fuzz::target!(tools);
