variable "name" {
  description = "The bucket's name."
  type        = string
}

variable "prefix" {
  description = "Where the archive lies in it, without a slash at the end."
  type        = string
}

variable "force_destroy" {
  description = "Whether destroying deletes the objects too."
  type        = bool
}

variable "kms_key_arn" {
  description = "Key that objects are encrypted with; null for S3's own."
  type        = string
}

variable "noncurrent_days" {
  description = "How long replaced and deleted objects are kept; 0 for no versions."
  type        = number
}

variable "object_lock_days" {
  description = "How long no version can be deleted; 0 for no lock."
  type        = number
}

variable "transition" {
  description = "Class and age (days) at which objects of the archive move to it; null for never."
  type = object({
    days          = number
    storage_class = string
  })
}

variable "tags" {
  description = "Tags."
  type        = map(string)
}
