output "grafana_url" {
  description = "The URL to enter in Grafana's data source."
  value       = module.varve.grafana_url
}

output "remote_write_url" {
  description = "The URL for remote_write."
  value       = module.varve.remote_write_url
}

output "varve" {
  description = "Everything else that the module says."
  value       = module.varve
}
